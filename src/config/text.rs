//! The lexical side of redis.conf: splitting a line into words, quoting a word, memory units, the nearest known name.
//!
//! Pure functions of bytes. They know no directive, and must agree with Redis' `sdssplitargs`, `sdscatrepr` and
//! `memtoull`, so that a file means the same to both servers.

use std::fmt::Write;

/// The words of a line, or `None` where a quote is not closed or something follows a closing quote.
///
/// Inside `"…"`: `\n \r \t \b \a`, `\xHH`, and any other escaped byte as itself. Inside `'…'`: only `\'`.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = take_word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// The first word of a line that begins with one, and what follows it.
fn take_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            quote @ (b'"' | b'\'') => {
                let after = take_quoted(after, quote, &mut word)?;
                // What a closing quote touches must be a space: `"a"b` is a typing error, not a word.
                return after.first().is_none_or(u8::is_ascii_whitespace).then_some((word, after));
            }
            byte if byte.is_ascii_whitespace() => break,
            byte => {
                word.push(byte);
                after
            }
        };
    }
    Some((word, rest))
}

/// Appends what stands before the closing `quote` to `word`; returns what stands after it.
fn take_quoted<'a>(mut rest: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match (quote, rest) {
            (b'"', [b'\\', b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            (b'"', [b'\\', byte, after @ ..]) => (unescape(*byte), after),
            (b'\'', [b'\\', b'\'', after @ ..]) => (b'\'', after),
            (_, [byte, after @ ..]) if *byte == quote => return Some(after),
            (_, [byte, after @ ..]) => (*byte, after),
            (_, []) => return None,
        };
        word.push(byte);
        rest = after;
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// A word as it must stand in a file to be read back as itself: quoted only where it has to be.
pub fn quote_word(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.iter().all(plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut quoted = String::from("\"");
    for &byte in word {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', byte as char]),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            0x08 => quoted.push_str("\\b"),
            0x07 => quoted.push_str("\\a"),
            b' '..=b'~' => quoted.push(byte as char),
            // Writing to a String cannot fail.
            _ => _ = write!(quoted, "\\x{byte:02x}"),
        }
    }
    quoted.push('"');
    quoted
}

/// A number of bytes: digits and an optional unit in any case; `k m g` are powers of 1000, `kb mb gb` of 1024.
///
/// Stricter than Redis, which reads no digits at all as 0 and wraps around past 2⁶⁴.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let unit_bytes = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    std::str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

/// A number of bytes in the largest unit that divides it, as CONFIG REWRITE writes it.
pub fn format_memory(bytes: u64) -> String {
    for (unit_bytes, unit) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(unit_bytes) {
            return format!("{}{unit}", bytes / unit_bytes);
        }
    }
    bytes.to_string()
}

/// A decimal integer, strictly as Redis' `string2ll`: no sign but `-`, no leading zeros, no spaces.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number = text.parse::<i64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The candidate that a typing error would most likely turn into `typed`, if any is near.
pub fn nearest<'a>(typed: &[u8], candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    // A third of the letters wrong is no longer the same word.
    let distance_max = (typed.len() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (edit_distance(&typed, candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other.
fn edit_distance(from: &[u8], to: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let substitution = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut distance = substitution.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                distance = distance.min(before_last[j - 2] + 1);
            }
            row.push(distance);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_split_into_words_as_sdssplitargs_does() {
        for (line, expected) in [
            ("", Some(vec![])),
            ("   \t ", Some(vec![])),
            ("port 6379", Some(vec!["port", "6379"])),
            ("  a\t b ", Some(vec!["a", "b"])),
            (r#"a "b c" 'd e'"#, Some(vec!["a", "b c", "d e"])),
            (r#"a "" ''"#, Some(vec!["a", "", ""])),
            (r#""\x41\n\t\"\\\q""#, Some(vec!["A\n\t\"\\q"])),
            (r#""\x4""#, Some(vec!["x4"])),
            (r"'it\'s \n'", Some(vec![r"it's \n"])),
            (r#"dir"a b""#, Some(vec!["dira b"])),
            (r"c:\dir", Some(vec![r"c:\dir"])),
            ("a # b", Some(vec!["a", "#", "b"])),
            (r#"a "b"#, None),
            ("a 'b", None),
            (r#"a "b"c"#, None),
            (r#""\"#, None),
        ] {
            let words = split_words(line.as_bytes());
            let expected = expected.map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
            assert_eq!(words, expected, "{line}");
        }
    }

    #[test]
    fn memory_values_have_redis_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("7b", Some(7)),
            ("1k", Some(1_000)),
            ("1Kb", Some(1_024)),
            ("2m", Some(2_000_000)),
            ("2MB", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3gb", Some(3 << 30)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("17179869184gb", None),
            ("", None),
            ("kb", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1 kb", None),
            ("1.5gb", None),
            ("1tb", None),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), bytes, "{text}");
        }
    }

    #[test]
    fn integers_are_canonical_or_refused() {
        for (text, number) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn a_typing_error_finds_its_word_and_nonsense_finds_none() {
        let names = ["appendfsync", "appendonly", "port", "timeout", "rocksdb.block_cache_size"];
        for (typed, found) in [
            ("appendfsnyc", Some("appendfsync")),
            ("APPENDFSINC", Some("appendfsync")),
            ("prot", Some("port")),
            ("time-out", Some("timeout")),
            ("rocksdb.block_cache", None),
            ("rocksdb.block-cache-size", Some("rocksdb.block_cache_size")),
            ("x", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(typed.as_bytes(), names.into_iter()), found, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_reads_back_as_itself(word: Vec<u8>) {
            prop_assert_eq!(split_words(quote_word(&word).as_bytes()), Some(vec![word]));
        }

        #[test]
        fn any_bytes_split_or_are_refused_without_a_panic(line: Vec<u8>) {
            _ = split_words(&line);
        }

        #[test]
        fn formatted_memory_reads_back(bytes: u64) {
            prop_assert_eq!(parse_memory(format_memory(bytes).as_bytes()), Some(bytes));
        }
    }
}
