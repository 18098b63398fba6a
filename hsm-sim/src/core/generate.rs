//! Keys made on the token.

use cryptoki_sys::*;

use super::{
    attributes::Attributes,
    create, keys,
    library::Library,
    permit,
    rules::given,
    rv::{Result, Rv},
    session::Session,
};
use crate::crypto::{self, Curve, Key, MechanismInfo, PairParams, Params};

/// Refuses a class or key type other than the mechanism makes, and sets both.
fn settle_kind(attributes: &mut Attributes, class: CK_OBJECT_CLASS, info: &MechanismInfo) -> Result<CK_KEY_TYPE> {
    if attributes.ulong(CKA_CLASS).is_some_and(|given| given != class) {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    let made = info.key_types.first().copied().ok_or(Rv(CKR_GENERAL_ERROR))?;
    let key_type = attributes.ulong(CKA_KEY_TYPE).unwrap_or(made);
    if !info.key_types.contains(&key_type) {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    attributes.set_ulong(CKA_CLASS, class);
    attributes.set_ulong(CKA_KEY_TYPE, key_type);
    Ok(key_type)
}

impl Session {
    /// `C_GenerateKey`
    pub(crate) fn generate_key(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &Params,
        template: Attributes,
    ) -> Result<CK_OBJECT_HANDLE> {
        let info = permit::mechanism(number, CKF_GENERATE)?;
        if number == CKM_DH_PKCS_PARAMETER_GEN {
            return self.generate_parameters(info, template);
        }
        let mut attributes = template;
        let key_type = settle_kind(&mut attributes, CKO_SECRET_KEY, info)?;
        create::check_given(self, &attributes, given::GENERATE, CKO_SECRET_KEY, Some(key_type))?;
        create::place(self, &mut attributes, CKO_SECRET_KEY)?;
        create::key_defaults(self, &mut attributes, CKO_SECRET_KEY, key_type, create::Origin::Generated(number));
        let length = attributes.ulong(CKA_VALUE_LEN).map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let fixed = keys::fixed_length(key_type);
        let bytes = match (fixed, length) {
            (Some(fixed), Some(length)) if fixed != length => return Err(Rv(CKR_TEMPLATE_INCONSISTENT)),
            (Some(bytes), _) | (None, Some(bytes)) => bytes,
            (None, None) => return Err(Rv(CKR_TEMPLATE_INCOMPLETE)),
        };
        keys::check_secret_length(key_type, bytes)?;
        let value = match (number, key_type) {
            (CKM_PKCS5_PBKD2, _) => crypto::pbkdf2(params, bytes)?,
            (_, CKK_DES2 | CKK_DES3) => crypto::generate_des(bytes)?,
            _ => crypto::generate_secret(bytes)?,
        };
        attributes.set(CKA_VALUE, value.as_slice());
        create::settle_secret(&mut attributes, key_type)?;
        create::add(self, create::finish(attributes)?)
    }

    /// `C_GenerateKey` for domain parameters (PKCS#11 3.1 §6.4.5).
    fn generate_parameters(&self, info: &MechanismInfo, template: Attributes) -> Result<CK_OBJECT_HANDLE> {
        let mut attributes = template;
        let key_type = settle_kind(&mut attributes, CKO_DOMAIN_PARAMETERS, info)?;
        create::check_given(self, &attributes, given::GENERATE, CKO_DOMAIN_PARAMETERS, Some(key_type))?;
        create::place(self, &mut attributes, CKO_DOMAIN_PARAMETERS)?;
        let bits = attributes.ulong(CKA_PRIME_BITS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        let bits = u32::try_from(bits).map_err(|_too_long| Rv(CKR_KEY_SIZE_RANGE))?;
        keys::set_group(&mut attributes, &crypto::published_group(bits)?);
        attributes.set_bool(CKA_LOCAL, true);
        create::add(self, create::finish(attributes)?)
    }

    /// `C_GenerateKeyPair`: answers with the public and the private key.
    pub(crate) fn generate_key_pair(
        &self,
        library: &Library,
        number: CK_MECHANISM_TYPE,
        public: Attributes,
        private: Attributes,
    ) -> Result<[CK_OBJECT_HANDLE; 2]> {
        let info = permit::mechanism(number, CKF_GENERATE_KEY_PAIR)?;
        let mut halves = [(public, CKO_PUBLIC_KEY), (private, CKO_PRIVATE_KEY)];
        for (attributes, class) in &mut halves {
            let key_type = settle_kind(attributes, *class, info)?;
            create::check_given(self, attributes, given::GENERATE, *class, Some(key_type))?;
            create::place(self, attributes, *class)?;
            create::key_defaults(self, attributes, *class, key_type, create::Origin::Generated(number));
        }
        let [(mut public, _), (mut private, _)] = halves;
        let params = pair_params(&public, &private)?;
        if let PairParams::Rsa { modulus_bits, .. } = &params {
            self.check_rsa_bits(*modulus_bits)?;
        }
        let key = match library.key_made_ahead(&params) {
            Some(key) => key,
            None => crypto::generate_key_pair(number, &params)?,
        };
        // Both halves name the curve as the caller did.
        if let Some(name) = public.get(CKA_EC_PARAMS).map(<[u8]>::to_vec) {
            private.set(CKA_EC_PARAMS, name);
        }
        keys::to_attributes(&key.public()?, &mut public)?;
        keys::to_attributes(&key, &mut private)?;
        create::add_all(self, [create::finish(public)?, create::finish(private)?])
    }
}

impl Session {
    /// Keys that were long enough once are made only for callers that ask for what is old.
    fn check_rsa_bits(&self, bits: u32) -> Result<()> {
        let is_old = bits < crypto::RSA_GENERATE_BITS_MIN;
        if is_old && !self.token().config.is_legacy() {
            return Err(Rv(CKR_KEY_SIZE_RANGE));
        }
        Ok(())
    }
}

fn pair_params(public: &Attributes, private: &Attributes) -> Result<PairParams> {
    if public.ulong(CKA_KEY_TYPE) == Some(CKK_RSA) {
        let bits = public.ulong(CKA_MODULUS_BITS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        return Ok(PairParams::Rsa {
            modulus_bits: u32::try_from(bits).map_err(|_too_long| Rv(CKR_KEY_SIZE_RANGE))?,
            public_exponent: public.get(CKA_PUBLIC_EXPONENT).unwrap_or_default().to_vec(),
        });
    }
    if let Some(key_type @ (CKK_ML_KEM | CKK_ML_DSA)) = public.ulong(CKA_KEY_TYPE) {
        let number = public.ulong(CKA_PARAMETER_SET).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
        if private.ulong(CKA_PARAMETER_SET).is_some_and(|other| other != number) {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        return Ok(PairParams::Set(keys::known_set(Some(key_type), number)?));
    }
    if public.ulong(CKA_KEY_TYPE) == Some(CKK_DH) {
        let value_bits = private.ulong(CKA_VALUE_BITS).map(u32::try_from).transpose();
        return Ok(PairParams::Dh {
            group: keys::group(public)?,
            value_bits: value_bits.map_err(|_too_long| Rv(CKR_ATTRIBUTE_VALUE_INVALID))?,
        });
    }
    let name = public.get(CKA_EC_PARAMS).ok_or(Rv(CKR_TEMPLATE_INCOMPLETE))?;
    if private.get(CKA_EC_PARAMS).is_some_and(|other| other != name) {
        return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
    }
    Ok(PairParams::Curve(Curve::from_ec_params(name)?))
}

/// The plain form in which a key is wrapped: a secret's value, a private key's PKCS#8.
pub(super) fn plain(key: &Key) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    match key {
        Key::Secret(secret) => Ok(zeroize::Zeroizing::new(secret.value().to_vec())),
        key => Ok(key.to_pkcs8()?),
    }
}
