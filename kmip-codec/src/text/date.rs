//! Dates in ISO 8601, as far as the encodings use it: a day, a time of day, an optional fraction, an optional zone.

/// Microseconds of a second.
const MICROS: i64 = 1_000_000;

/// Seconds and microseconds since the POSIX epoch; a date without a zone is UTC.
pub(super) fn parse(text: &str) -> Option<(i64, i64)> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (date, time) = text.split_once('T')?;
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4, 9)?;
    let (month, day) = (digits(parts.next()?, 2, 2)?, digits(parts.next()?, 2, 2)?);
    if parts.next().is_some() {
        return None;
    }
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at_checked(at)?,
        None => (time, "Z"),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2, 2)?, digits(parts.next()?, 2, 2)?);
    let second = digits(parts.next()?, 2, 2)?;
    let year = if negative { -year } else { year };
    let fits = parts.next().is_none()
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !fits {
        return None;
    }
    let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - zone_seconds(zone)?;
    let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = micros.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((seconds, micros))
}

/// The same as microseconds alone.
pub(super) fn parse_micros(text: &str) -> Option<i64> {
    let (seconds, micros) = parse(text)?;
    seconds.checked_mul(MICROS)?.checked_add(micros)
}

/// Year, month, day, hour, minute, second of a time within the years 0 to 9999.
pub(super) fn civil(seconds: i64) -> Option<[i64; 6]> {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    if !(days_before(0, 1, 1)..days_before(10_000, 1, 1)).contains(&days) {
        return None;
    }
    // An estimate that is at most one year too late, put right by looking.
    let mut year = days * 400 / 146_097 + 1970;
    while days_before(year, 1, 1) > days {
        year -= 1;
    }
    while days_before(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_before(year, month + 1, 1) <= days {
        month += 1;
    }
    let day = days - days_before(year, month, 1) + 1;
    Some([year, month, day, rest / 3_600, rest / 60 % 60, rest % 60])
}

fn digits(text: &str, least: usize, most: usize) -> Option<i64> {
    let fits = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
    let (hours, minutes) = (digits(hours, 2, 2)?, digits(minutes, 2, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

const fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to a day of the Gregorian calendar, which is applied to all years.
const fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let mut days = past * 365 + leaps;
    let mut earlier = 1;
    while earlier < month {
        days += days_of(year, earlier);
        earlier += 1;
    }
    // 719 162 days lie between the first day of the year 1 and the epoch.
    days + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let table = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T23:59:59.999+00:00", -1),
            ("2012-04-27T08:14:39+00:00", 1_335_514_479),
            ("2012-04-27T03:14:39-0500", 1_335_514_479),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ];
        for (text, seconds) in table {
            assert_eq!(parse(text).map(|(seconds, _)| seconds), Some(seconds), "{text}");
        }
        assert_eq!(parse_micros("1970-01-01T00:00:01.25Z"), Some(1_250_000));
    }

    #[test]
    fn what_is_no_date() {
        let table = [
            "",
            "T",
            "2012-04-27",
            "2012-13-01T00:00:00Z",
            "2011-02-29T00:00:00Z",
            "2012-04-27T24:00:00Z",
            "2012-04-27T08:14Z",
            "2012-04-27T08:14:39+25:00",
            "2012-04-27T08:14:39.x",
            "+2012-04-27T08:14:39Z",
            "2012-4-27T08:14:39Z",
            "2012-04-27T08:14:39Zulu",
            "9999999999-01-01T00:00:00Z",
            "2012-04-27T08:14:39+é",
        ];
        for text in table {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_comes_back() {
        for days in (-719_528..2_932_896).step_by(97) {
            let seconds = days * 86_400 + 12_345;
            let [year, month, day, hour, minute, second] = civil(seconds).expect("within the years");
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00");
            assert_eq!(parse(&text), Some((seconds, 0)), "{text}");
        }
        assert_eq!(civil(253_402_300_800), None);
        assert_eq!(civil(i64::MIN), None);
        assert_eq!(civil(i64::MAX), None);
    }
}
