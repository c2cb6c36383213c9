//! What blocking commands of all families share: how long they wait.

use std::time::Duration;

use super::CommandError;
use crate::number::LongDouble;

/// When TIMEOUT became a fraction.
pub const TIMEOUT_HISTORY: &[(&str, &str)] =
    &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")];

/// A timeout in seconds; 0, and what is rounded up to it, is for ever. What is too much for Redis' arithmetic counts as
/// negative there, too.
pub fn parse_timeout(text: &[u8]) -> Result<Option<Duration>, CommandError> {
    let seconds = LongDouble::parse(text);
    let ms = seconds.ok_or(CommandError::custom("ERR timeout is not a float or out of range"))?.to_thousandths();
    let ms = u64::try_from(ms).map_err(|_| CommandError::custom("ERR timeout is negative"))?;
    Ok((ms > 0).then(|| Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_redis_reads_them() {
        const NEGATIVE: Result<Option<u64>, &str> = Err("ERR timeout is negative");
        const NO_FLOAT: Result<Option<u64>, &str> = Err("ERR timeout is not a float or out of range");
        for (text, expected) in [
            ("0", Ok(None)),
            ("1", Ok(Some(1000))),
            ("0.0001", Ok(Some(1))),
            ("1.5", Ok(Some(1500))),
            ("0x1p-10", Ok(Some(1))),
            ("1e-400", Ok(Some(1))),
            ("-0.0000001", Ok(None)),
            ("-1", NEGATIVE),
            ("inf", NEGATIVE),
            ("1e400", NEGATIVE),
            ("99999999999999999999", NEGATIVE),
            ("nan", NO_FLOAT),
            ("abc", NO_FLOAT),
            ("", NO_FLOAT),
            (" 1", NO_FLOAT),
        ] {
            let parsed = parse_timeout(text.as_bytes()).map(|timeout| timeout.map(|time| time.as_millis() as u64));
            assert_eq!(parsed.map_err(|error| error.to_string()), expected.map_err(str::to_string), "{text}");
        }
    }
}
