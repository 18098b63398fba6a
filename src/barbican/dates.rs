//! Dates as Barbican's clients write them, and as the API prints them (contract §1.10, §3.5).

use time::{Date, Month, OffsetDateTime};

use crate::domain::Timestamp;

/// A date of the ISO 8601 forms that clients send, in UTC; `None` for anything else.
///
/// Year alone, year and month, date, date and time with `T` or a blank; with or without separators, seconds, fraction and
/// zone. No zone means UTC.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let mut at = Cursor(text.as_bytes());
    let year = i32::try_from(at.digits(4, 4)?).ok()?;
    let dashed = at.eat(b'-');
    let month = if at.0.is_empty() && !dashed { 1 } else { at.digits(if dashed { 1 } else { 2 }, 2)? };
    // Without dashes year and month alone would be ambiguous.
    if !dashed && at.0.is_empty() && text.len() > 4 {
        return None;
    }
    let day = if at.0.is_empty() {
        1
    } else {
        let dashed = at.eat(b'-');
        at.digits(if dashed { 1 } else { 2 }, 2)?
    };
    let (mut hour, mut minute, mut second, mut micros, mut offset) = (0, 0, 0, 0, 0);
    if !at.0.is_empty() {
        if !at.eat(b'T') && !at.eat(b' ') {
            return None;
        }
        hour = at.digits(2, 2)?;
        let colon = at.eat(b':');
        if colon || at.is_digit() {
            minute = at.digits(2, 2)?;
            let colon = at.eat(b':');
            if colon || at.is_digit() {
                second = at.digits(1, 2)?;
                if at.eat(b'.') || at.eat(b',') {
                    micros = at.fraction()?;
                }
            }
        }
        offset = at.zone()?;
    }
    if !at.0.is_empty() {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    let byte = |number| u8::try_from(number).ok();
    let time = time::Time::from_hms_micro(byte(hour)?, byte(minute)?, byte(second)?, micros).ok()?;
    let seconds = date.with_time(time).assume_utc().unix_timestamp().checked_sub(i64::from(offset))?;
    Some(Timestamp::from_micros(seconds.checked_mul(1_000_000)?.checked_add(i64::from(micros))?))
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn is_digit(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        digits.iter().try_fold(0_u32, |sum, digit| sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
    }

    /// Microseconds; further digits are cut.
    fn fraction(&mut self) -> Option<u32> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        if count == 0 {
            return None;
        }
        let six = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
        Some(six.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i32> {
        if self.0.is_empty() || self.eat(b'Z') {
            return Some(0);
        }
        let sign = if self.eat(b'+') {
            1
        } else if self.eat(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.digits(2, 2)?;
        let minutes = if self.eat(b':') || self.is_digit() { self.digits(2, 2)? } else { 0 };
        let valid = hours < 24 && minutes < 60;
        valid.then(|| i32::try_from(hours * 3600 + minutes * 60).ok().map(|seconds| sign * seconds))?
    }
}

/// `YYYY-MM-DDTHH:MM:SS`, with microseconds where there are any; no zone, because the clients parse exactly this.
pub(super) fn show(at: Timestamp) -> String {
    let mut text = show_seconds(at);
    match u32::try_from(at.micros().rem_euclid(1_000_000)) {
        Ok(micros) if micros > 0 => {
            text.push('.');
            push_digits(&mut text, micros, 6);
        }
        _ => {}
    }
    text
}

/// As [`show`], always with six digits of fraction: how the expiration stands in an order's `meta`.
pub(super) fn show_micros(at: Timestamp) -> String {
    format!("{}.{:06}", show_seconds(at), at.micros().rem_euclid(1_000_000))
}

fn show_seconds(at: Timestamp) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (moment.date(), moment.time());
    // Digit by digit, because a list has hundreds of them; no Timestamp is outside of the years that have four or more.
    let mut text = String::with_capacity(26);
    if date.year() < 0 {
        text.push('-');
    }
    push_digits(&mut text, date.year().unsigned_abs(), 4);
    let parts = [
        ('-', u8::from(date.month())),
        ('-', date.day()),
        ('T', time.hour()),
        (':', time.minute()),
        (':', time.second()),
    ];
    for (before, number) in parts {
        text.push(before);
        push_digits(&mut text, u32::from(number), 2);
    }
    text
}

/// A number with so many digits.
fn push_digits(text: &mut String, number: u32, digits: u32) {
    for at in (0..digits).rev() {
        let digit = number / 10_u32.pow(at) % 10;
        text.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_clients_send_are_read() {
        for (text, shown) in [
            ("2099-01-01", "2099-01-01T00:00:00"),
            ("20990102", "2099-01-02T00:00:00"),
            ("2099", "2099-01-01T00:00:00"),
            ("2099-02", "2099-02-01T00:00:00"),
            ("2030-02-28T19:14:44.180394", "2030-02-28T19:14:44.180394"),
            ("2030-02-28 19:14:44", "2030-02-28T19:14:44"),
            ("2030-02-28T19:14:44Z", "2030-02-28T19:14:44"),
            ("2030-02-28T19:14:44+05:00", "2030-02-28T14:14:44"),
            ("2030-02-28T19:14:44-0330", "2030-02-28T22:44:44"),
            ("2030-02-28T19:14", "2030-02-28T19:14:00"),
            ("2030-02-28T19", "2030-02-28T19:00:00"),
            ("20300228T191444,5", "2030-02-28T19:14:44.500000"),
            ("2030-02-28T19:14:44.1234567", "2030-02-28T19:14:44.123456"),
        ] {
            assert_eq!(parse(text).map(show).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in [
            "",
            "x",
            "209",
            "209901",
            "2099-13-01",
            "2099-02-30",
            "2099-01-01T",
            "2099-01-01T25:00:00",
            "2099-01-01x",
            "2099-01-01T00:00:00+",
            "2099-01-01T00:00:00+99:00",
            "2099-01-01T00:00:00ZZ",
            "2099-01-01T00:00:00.",
            "٢٠٩٩-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_shown_without_a_zone() {
        assert_eq!(show(Timestamp::from_micros(1_795_327_200_000_000)), "2026-11-22T06:00:00");
        assert_eq!(show(Timestamp::from_micros(1_795_327_200_000_001)), "2026-11-22T06:00:00.000001");
        assert_eq!(show_micros(Timestamp::from_seconds(0)), "1970-01-01T00:00:00.000000");
    }
}
