//! The cases. A case that finds its module unable prints "skipped, because …" and returns; it never passes silently.

mod crowds;
mod derivations;
mod faults;
mod modes;
mod objects;
mod operations;
mod roles;
mod start;

use std::{future::Future, pin::Pin};

use crate::harness::Context;

type Run = fn(Context) -> Pin<Box<dyn Future<Output = ()>>>;

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many tokens of one label it needs.
    pub(crate) tokens: usize,
    /// Whether it must not run on a token that somebody uses.
    pub(crate) spoils_token: bool,
    /// Only for the simulator, with these options.
    pub(crate) simulator: Option<&'static str>,
    pub(crate) run: Run,
}

macro_rules! cases {
    ($($module:ident::$name:ident $tokens:literal $spoils:literal $(simulator $options:literal)?;)*) => {
        pub(crate) const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            tokens: $tokens,
            spoils_token: $spoils,
            simulator: cases!(@option $($options)?),
            run: |context| Box::pin($module::$name(context)),
        },)*];
    };
    (@option) => { None };
    (@option $options:literal) => { Some($options) };
}

cases! {
    start::a_file_that_is_no_module_is_refused 1 false;
    start::a_label_nobody_has_is_not_ready 1 false;
    start::two_tokens_of_one_label_are_refused 2 true;
    start::a_refused_pin_is_tried_once 1 true;
    start::a_serial_that_changed_is_not_served 1 false;
    start::a_full_queue_and_a_passed_deadline_are_busy 1 false;
    start::system_keys_last 1 false;
    start::many_callers_share_few_sessions 1 false;
    crowds::the_first_uses_may_all_come_at_once 1 false;
    objects::generated_secret_keys_come_out_as_digested 1 false;
    objects::held_bytes_come_back_exactly 1 false;
    objects::bytes_beside_a_key_are_told_apart 1 false;
    objects::imported_keys_come_back_exactly 1 false;
    objects::bad_values_are_refused_and_leave_nothing 1 false;
    objects::pairs_come_out_and_in_again 1 false;
    objects::what_may_not_leave_stays 1 false;
    objects::destroying_is_idempotent_and_handles_are_forgotten 1 false;
    operations::block_modes_match_published_vectors 1 false;
    operations::padding_and_tags_are_checked 1 false;
    operations::what_gcm_sealed_opens_with_the_iv_of_the_answer 1 false;
    operations::chacha20_matches_published_vectors 1 false;
    operations::a_cipher_that_the_token_lacks_is_held_and_refused 1 false;
    operations::macs_match_published_vectors 1 false;
    operations::rsa_signatures_hold 1 false;
    operations::curve_signatures_hold 1 false;
    operations::secp256k1_signs 1 false;
    operations::rsa_encryption_round_trips 1 false;
    operations::keys_wrap_as_the_standards_say 1 false;
    operations::random_bytes_differ 1 false;
    operations::usage_bits_bind 1 false;
    roles::uses_that_a_token_keeps_apart_are_not_offered 1 false;
    roles::a_short_key_makes_a_mac_or_is_not_offered 1 false;
    modes::ccm_matches_published_vectors 1 false;
    modes::xts_matches_published_vectors 1 false;
    modes::pcbc_chains_plain_and_encrypted_blocks 1 false;
    modes::gmac_is_gcm_without_data 1 false;
    derivations::derivations_match_published_vectors 1 false;
    derivations::both_sides_agree_on_one_value 1 false;
    derivations::a_twin_makes_macs_beside_its_cipher_key 1 false;
    derivations::wrapped_bytes_open_again 1 false;
    derivations::the_issuer_signs_with_one_key 1 false;
    faults::every_answer_has_its_class 1 true simulator "";
    faults::keys_enter_wrapped_where_clear_is_refused 1 true simulator "";
    faults::templates_do_without_what_a_token_does_not_know 1 true simulator "";
    faults::an_ambiguous_creation_leaves_one_object_or_none 1 true simulator "";
    faults::a_token_that_was_taken_out_comes_back 1 true simulator "";
    faults::lost_sessions_are_opened_again 1 true simulator "";
    faults::a_call_that_hangs_is_replaced 1 true simulator "";
    faults::four_sessions_serve_many_callers 1 true simulator "[limits]\nmax_sessions = 4\n";
    faults::one_session_serves_many_callers 1 true simulator "[limits]\nmax_sessions = 1\n";
    faults::a_full_token_says_so 1 true simulator "[limits]\nmax_objects = 4\n";
}
