//! KMIP messages in TTLV.
