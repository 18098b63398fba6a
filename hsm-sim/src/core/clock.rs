//! The one place that reads the system's clock: tokens that are away come back by it, in every process at once.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "processes can only agree on the system's clock")]
pub(crate) fn milliseconds() -> u64 {
    #[cfg(feature = "deterministic")]
    if let Some(still) = crate::crypto::deterministic::time() {
        return still;
    }
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The time as `CK_TOKEN_INFO` shows it (`YYYYMMDDhhmmss00`), off by so many seconds.
pub(crate) fn utc(skew: i64) -> [u8; 16] {
    let seconds = i64::try_from(milliseconds() / 1000).unwrap_or(i64::MAX).saturating_add(skew).max(0);
    format(seconds)
}

fn format(seconds: i64) -> [u8; 16] {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a date by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let text = format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}00", rest / 3_600, rest / 60 % 60, rest % 60);
    let mut bytes = [b' '; 16];
    bytes.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(&format(0), b"1970010100000000");
        assert_eq!(&format(951_782_399), b"2000022823595900");
        assert_eq!(&format(951_782_400), b"2000022900000000");
        assert_eq!(&format(1_709_251_199), b"2024022923595900");
        assert_eq!(&format(4_102_444_800), b"2100010100000000");
    }
}
