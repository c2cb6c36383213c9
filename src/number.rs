//! Redis' number rules: which texts are numbers, and how numbers are written back.
//!
//! A number that passes through a server must come out as Redis would write it, so every rule here is a C library's:
//! `string2ll`, `strtod`, `printf("%.17g")` and, for INCRBYFLOAT, the x87 `long double` in software, the same on every
//! machine. It must never accept what Redis refuses, nor do work out of proportion to the text's length.

use rustc_apfloat::ieee::{Double, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round, Status};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::{Add, Neg};

/// The text of a double: 24 bytes at most (`-2.2250738585072014e-308`), so on the stack.
pub type NumberText = SmallVec<[u8; 32]>;

/// The longest text that may be a `long double`: Redis' `MAX_LONG_DOUBLE_CHARS` less its end byte.
const LONG_DOUBLE_LEN_MAX: usize = 5 * 1024 - 1;

/// Reads a signed integer as `string2ll` does: decimal digits behind an optional `-`, in exactly the form `i64` is
/// written in. No `+`, no leading zeros, no `-0`, no spaces.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    match digits {
        [b'0'] if !negative => Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {
            // Nineteen digits always fit into 64 bits without a sign.
            let magnitude = digits.iter().try_fold(0u64, |value, &byte| Some(value * 10 + digit(byte)?))?;
            if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
        }
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value <= 9).then_some(u64::from(value))
}

/// Reads a double as `getDoubleFromObject` does: all of the text as `strtod` reads it (so with `+`, `.5`, `1e3`, `inf`,
/// `Infinity` and `0x1p-3`), but neither NaN nor a number too large for a double or so small that it would become 0.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (_, unsigned) = split_sign(text);
    match unsigned {
        [b'0', b'x' | b'X', ..] => {
            let bits = parse_float::<Double>(text)?.to_bits();
            Some(f64::from_bits(u64::try_from(bits).expect("invariant: a double has 64 bits")))
        }
        [b'0'..=b'9' | b'.', ..] => {
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            let vanished = value == 0.0 && has_nonzero_digit(unsigned);
            (value.is_finite() && !vanished).then_some(value)
        }
        _ => parse_infinity(text, f64::INFINITY),
    }
}

/// Reads a double as C's `strtod` alone does, where Redis takes what that makes of a text: the ends of a range of scores.
/// So blanks in front are skipped, a NUL is the end, nothing at all is 0, and what is out of range is infinite or 0; but
/// not NaN.
pub fn parse_f64_as_strtod(text: &[u8]) -> Option<f64> {
    let text = &text[..memchr::memchr(0, text).unwrap_or(text.len())];
    if text.is_empty() {
        return Some(0.0);
    }
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len())..];
    match split_sign(text).1 {
        [b'0', b'x' | b'X', ..] => {
            let bits = parse_float_of_any_size::<Double>(text)?.0.to_bits();
            Some(f64::from_bits(u64::try_from(bits).expect("invariant: a double has 64 bits")))
        }
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => parse_infinity(text, f64::INFINITY),
    }
}

/// Writes a double as Redis 7.0 does everywhere, in replies and in storage: `%.17g`, with `inf`, `-inf` and `nan`.
pub fn format_f64(value: f64) -> NumberText {
    if value.is_nan() {
        NumberText::from_slice(b"nan")
    } else if value.is_infinite() {
        NumberText::from_slice(if value > 0.0 { b"inf" } else { b"-inf" })
    } else if value.abs() < 1e15 && value.fract() == 0.0 && !(value == 0.0 && value.is_sign_negative()) {
        // Most scores are small whole numbers, whose digits are exact.
        NumberText::from_slice(itoa::Buffer::new().format(value as i64).as_bytes())
    } else {
        format_significant(value, 17)
    }
}

/// `%.<count>g` of a finite number: `count` (from 1 to 17) significant digits without trailing zeros, with an exponent where
/// the point would be far from the digits.
pub fn format_significant(value: f64, count: usize) -> NumberText {
    let mut scientific = NumberText::new();
    write!(Sink(&mut scientific), "{:.*e}", count - 1, value.abs()).expect("invariant: a sink takes everything");
    let at = memchr::memchr(b'e', &scientific).expect("invariant: scientific notation has an exponent");
    let exponent = parse_i64(&scientific[at + 1..]).expect("invariant: the exponent is an integer");
    let mut digits: SmallVec<[u8; 17]> = scientific[..at].iter().copied().filter(|&byte| byte != b'.').collect();
    while digits.len() > 1 && digits.last() == Some(&b'0') {
        digits.pop();
    }

    let mut text = NumberText::new();
    if value.is_sign_negative() {
        text.push(b'-');
    }
    match exponent {
        -4..0 => {
            text.extend_from_slice(b"0.");
            text.extend((exponent..-1).map(|_| b'0'));
            text.extend_from_slice(&digits);
        }
        0.. if exponent < count as i64 => {
            let whole = exponent as usize + 1;
            digits.resize(digits.len().max(whole), b'0');
            push_with_point(&mut text, &digits, whole);
        }
        _ => {
            push_with_point(&mut text, &digits, 1);
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(Sink(&mut text), "e{sign}{:02}", exponent.abs()).expect("invariant: a sink takes everything");
        }
    }
    text
}

/// Appends digits with a point behind the first `whole` of them, unless it would stand last.
fn push_with_point(text: &mut NumberText, digits: &[u8], whole: usize) {
    let (whole, fraction) = digits.split_at(whole);
    text.extend_from_slice(whole);
    if !fraction.is_empty() {
        text.push(b'.');
        text.extend_from_slice(fraction);
    }
}

struct Sink<'a>(&'a mut NumberText);

impl Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The 80-bit `long double` that INCRBYFLOAT and HINCRBYFLOAT count with: 64 bits of precision, so that adding decimal
/// fractions of ordinary size gives what the user expects.
#[derive(Clone, Copy, Debug)]
pub struct LongDouble(X87DoubleExtended);

impl LongDouble {
    /// Reads a number by the rules of [`parse_f64`], in the wider range of a `long double` and in less than 5 KiB.
    pub fn parse(text: &[u8]) -> Option<Self> {
        match split_sign(text).1 {
            [b'0'..=b'9' | b'.', ..] => parse_float(text).map(Self),
            _ => parse_infinity(text, X87DoubleExtended::INFINITY).map(Self),
        }
    }

    /// A double, which is one of the numbers that a `long double` can be.
    pub fn from_f64(value: f64) -> Self {
        let mut loses_info = false;
        Self(Double::from_bits(value.to_bits().into()).convert(&mut loses_info).value)
    }

    /// A thousand times as much, rounded up. What no `i64` holds is its least value, as where Redis runs.
    pub fn to_thousandths(self) -> i64 {
        let thousand = X87DoubleExtended::from_i128(1000).value;
        let scaled = (self.0 * thousand).value;
        let rounded = scaled.to_i128_r(64, Round::TowardPositive, &mut false);
        match rounded.status {
            status if status.contains(Status::INVALID_OP) => i64::MIN,
            _ => rounded.value as i64,
        }
    }

    /// Whether a sum may not be stored: "increment would produce NaN or Infinity".
    pub fn is_nan_or_infinite(self) -> bool {
        self.0.is_nan() || self.0.is_infinite()
    }

    /// Writes the number as `ld2string` does for humans: `%.17Lf` without trailing zeros. At most 4934 bytes.
    pub fn format(self) -> String {
        let sign = if self.0.is_negative() { "-" } else { "" };
        if self.0.is_nan() {
            return "nan".to_owned();
        } else if self.0.is_infinite() {
            return format!("{sign}inf");
        }
        let (significand, exponent) = self.to_parts();
        if exponent >= 0 {
            return format!("{sign}{}", shift_left_in_decimal(significand, exponent.unsigned_abs()));
        }
        let scaled = scale_to_fraction(significand, exponent.unsigned_abs());
        if scaled == 0 {
            return "0".to_owned();
        }
        let text = format!("{sign}{}.{:017}", scaled / FRACTION_UNIT, scaled % FRACTION_UNIT);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// A finite number's magnitude as significand × 2^exponent.
    fn to_parts(self) -> (u64, i32) {
        let bits = self.0.to_bits();
        let biased = (bits >> 64) as i32 & 0x7fff;
        // Zero and the subnormals are written with exponent 0 and mean 1.
        (bits as u64, biased.max(1) - 16383 - 63)
    }
}

impl Add for LongDouble {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).value)
    }
}

/// What `long double`s are printed in units of: seventeen places behind the point.
const FRACTION_UNIT: u128 = 10u128.pow(17);

/// `significand / 2^shift` in [`FRACTION_UNIT`]s, halves rounded to even. A significand has 64 bits and the unit 57, so
/// nothing is lost before the rounding.
fn scale_to_fraction(significand: u64, shift: u32) -> u128 {
    let scaled = u128::from(significand) * FRACTION_UNIT;
    let Some(whole) = scaled.checked_shr(shift) else { return 0 };
    let (rest, half) = (scaled - (whole << shift), 1u128 << (shift - 1));
    whole + u128::from(rest > half || rest == half && whole % 2 == 1)
}

/// The decimal digits of `significand × 2^shift`, computed in base 10^9, lowest limb first. The largest `long double`
/// has 4933 digits and takes half a millisecond.
fn shift_left_in_decimal(significand: u64, mut shift: u32) -> String {
    const BASE: u64 = 1_000_000_000;
    // A limb is below 2^30, so shifted this far it still leaves room for the carry.
    const STEP: u32 = 33;
    let mut limbs: Vec<u64> = Vec::new();
    let mut carry = significand;
    loop {
        while carry > 0 {
            limbs.push(carry % BASE);
            carry /= BASE;
        }
        if shift == 0 {
            break;
        }
        let step = shift.min(STEP);
        shift -= step;
        for limb in &mut limbs {
            let wide = (*limb << step) + carry;
            (*limb, carry) = (wide % BASE, wide / BASE);
        }
    }
    let highest = limbs.pop().unwrap_or(0);
    limbs.iter().rev().fold(highest.to_string(), |text, limb| text + &format!("{limb:09}"))
}

/// `strtod` on a text that starts, behind its sign, with a digit or a point; refused when not all of it is a number or
/// the number is out of range.
fn parse_float<F: Float>(text: &[u8]) -> Option<F> {
    let (value, vanished) = parse_float_of_any_size::<F>(text)?;
    (value.is_finite() && !vanished).then_some(value)
}

/// As [`parse_float`], with what is out of range infinite or 0; and whether a number became 0.
fn parse_float_of_any_size<F: Float>(text: &[u8]) -> Option<(F, bool)> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LONG_DOUBLE_LEN_MAX)?;
    let hexadecimal = text.contains(['x', 'X']);
    let text = match hexadecimal && !text.contains(['p', 'P']) {
        true => Cow::Owned(format!("{text}p0")),
        // An exponent without digits would be read as 0.
        false if !hexadecimal && text.ends_with(['e', 'E', '+', '-']) => return None,
        false => Cow::Borrowed(text),
    };
    let parsed = F::from_str_r(&text, Round::NearestTiesToEven).ok()?;
    let vanished = parsed.value.is_zero() && parsed.status != Status::OK;
    Some((parsed.value, vanished))
}

/// `inf` or `infinity` in any case, with or without a sign.
fn parse_infinity<F: Neg<Output = F>>(text: &[u8], infinity: F) -> Option<F> {
    let (negative, word) = split_sign(text);
    let named = word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity");
    named.then(|| if negative { -infinity } else { infinity })
}

/// Whether a number is negative, and what stands behind its sign if it has one.
fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        [b'+', unsigned @ ..] | unsigned => (false, unsigned),
    }
}

/// Whether the digits before the exponent are more than zeros.
fn has_nonzero_digit(number: &[u8]) -> bool {
    number.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| matches!(byte, b'1'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_read_in_exactly_one_spelling() {
        for text in ["0", "1", "-1", "42", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(parse_i64(text.as_bytes()), text.parse().ok(), "{text}");
        }
        let refused = ["", "-", "-0", "+1", "00", "01", "-01", " 1", "1 ", "1.0", "1e3", "0x1", "1_0", "\u{661}", "a"];
        for text in refused.into_iter().chain(["9223372036854775808", "-9223372036854775809", "99999999999999999999"]) {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn doubles_come_back_as_zscore_of_redis_shows_them() {
        // ZADD z <text> m; ZSCORE z m; empty: "not a valid float". From redis-server 7.0.15.
        for (text, shown) in [
            ("0", "0"),
            ("+5", "5"),
            ("1.", "1"),
            (".5", "0.5"),
            ("0.1", "0.10000000000000001"),
            ("3.14", "3.1400000000000001"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("0.0001", "0.0001"),
            ("0.00012345", "0.00012344999999999999"),
            ("1e-5", "1.0000000000000001e-05"),
            ("1e5", "100000"),
            ("1e16", "10000000000000000"),
            ("1e17", "1e+17"),
            ("99999999999999999", "1e+17"),
            ("123456789012345678", "1.2345678901234568e+17"),
            ("9007199254740993", "9007199254740992"),
            ("4503599627370496.5", "4503599627370496"),
            ("1e300", "1.0000000000000001e+300"),
            ("-1e-300", "-1e-300"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("2.2250738585072014e-308", "2.2250738585072014e-308"),
            ("1e-310", "9.9999999999999694e-311"),
            ("5e-324", "4.9406564584124654e-324"),
            ("0x1p3", "8"),
            ("0x1.8", "1.5"),
            ("-0X.8P-1", "-0.25"),
            ("inf", "inf"),
            ("+inf", "inf"),
            ("-INF", "-inf"),
            ("Infinity", "inf"),
            ("-0", "-0"), // As ZADD INCR answers; in a listpack the sign is lost.
            ("0e99999999999999999999", "0"),
            ("1e400", ""),
            ("-1e400", ""),
            ("1e-400", ""),
            ("0x1p1024", ""),
            ("0x1p-1075", ""),
            ("nan", ""),
            ("-nan", ""),
            ("nan(1)", ""),
            ("infinit", ""),
            ("", ""),
            ("-", ""),
            (".", ""),
            ("1e", ""),
            ("1e+", ""),
            ("0x", ""),
            ("0x1p", ""),
            ("+-1", ""),
            (" 1", ""),
            ("1 ", ""),
            ("1,5", ""),
            ("1p3", ""),
        ] {
            let got = parse_f64(text.as_bytes()).map(format_f64).unwrap_or_default();
            assert_eq!(String::from_utf8_lossy(&got), shown, "{text}");
        }
        assert_eq!(&format_f64(f64::NAN)[..], b"nan");
        assert_eq!(&format_f64(-f64::NAN)[..], b"nan");
    }

    #[test]
    fn the_ends_of_score_ranges_are_what_strtod_makes_of_them() {
        // ZADD z -inf low -5 a 0 b 5 c inf high; ZRANGEBYSCORE z <text> <text>. From redis-server 7.0.15.
        for (text, expected) in [
            ("", Some(0.0)),
            (" 5", Some(5.0)),
            ("\t\n-5", Some(-5.0)),
            ("5\0nonsense", Some(5.0)),
            ("\0", Some(0.0)),
            ("1e400", Some(f64::INFINITY)),
            ("-1e400", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("0x5", Some(5.0)),
            ("0x1p5000", Some(f64::INFINITY)),
            ("+inf", Some(f64::INFINITY)),
            ("nan", None),
            ("5 ", None),
            (" ", None),
            ("+", None),
            ("abc", None),
            ("5e", None),
        ] {
            assert_eq!(parse_f64_as_strtod(text.as_bytes()), expected, "{text:?}");
        }
    }

    const NOT_A_FLOAT: &str = "value is not a valid float";
    const NO_NUMBER: &str = "increment would produce NaN or Infinity";

    fn incrbyfloat(value: &str, increment: &str) -> String {
        match (LongDouble::parse(value.as_bytes()), LongDouble::parse(increment.as_bytes())) {
            (Some(value), Some(increment)) if (value + increment).is_nan_or_infinite() => NO_NUMBER.to_owned(),
            (Some(value), Some(increment)) => (value + increment).format(),
            _ => NOT_A_FLOAT.to_owned(),
        }
    }

    #[test]
    fn long_doubles_add_up_as_incrbyfloat_of_redis_does() {
        // SET x <value>; INCRBYFLOAT x <increment>. From redis-server 7.0.15 on x86-64.
        for (value, increment, sum) in [
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("3", "-3", "0"),
            ("0", "-0", "0"),
            ("-1.5", "0.25", "-1.25"),
            (".5", "5.", "5.5"),
            ("2.675", "0", "2.675"),
            ("1", "1e-17", "1.00000000000000001"),
            ("1", "4e-18", "1"),
            ("0", "5e-18", "0"),
            ("0", "5.1e-18", "0.00000000000000001"),
            ("0", "-4e-18", "0"),
            ("3.0000000000000001", "0", "3.0000000000000001"),
            ("1.23456789012345678", "0", "1.23456789012345678"),
            ("123456789012345678", "0.5", "123456789012345678.5"),
            ("99999999999999999999", "1", "100000000000000000000"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("-9007199254740993", "0", "-9007199254740993"),
            ("1e17", "0.1", "100000000000000000.1015625"),
            ("1e20", "-1e20", "0"),
            ("1e-4950", "1e-4950", "0"),
            ("0x10", "0x.8", "16.5"),
            ("0x1p-3", "+1", "1.125"),
            ("inf", "1", NO_NUMBER),
            ("inf", "-Infinity", NO_NUMBER),
            ("1e4932", "1e4932", NO_NUMBER),
            ("1", "nan", NOT_A_FLOAT),
            ("1", "1e5000", NOT_A_FLOAT),
            ("1", "1e-5000", NOT_A_FLOAT),
            ("1", " 1", NOT_A_FLOAT),
            ("1", "1 ", NOT_A_FLOAT),
            ("1", "", NOT_A_FLOAT),
            ("1", "1e", NOT_A_FLOAT),
            ("1", "0x", NOT_A_FLOAT),
        ] {
            assert_eq!(incrbyfloat(value, increment), sum, "{value} + {increment}");
        }
    }

    #[test]
    fn the_largest_long_doubles_are_written_in_full() {
        let sum = incrbyfloat("1e300", "1e300");
        assert!(sum.starts_with("2000000000000000000017994648159118387741047888546581495876520164642531293192361"));
        assert_eq!(sum.len(), 301);
        let sum = incrbyfloat("-1e4932", "0");
        assert!(sum.starts_with("-10000000000000000000060189493879638913238377742545331147737850413525330194866087"));
        assert_eq!(sum.len(), 4934);
        let longest = "1".repeat(LONG_DOUBLE_LEN_MAX);
        assert_eq!(LongDouble::parse(longest.as_bytes()).map(|_| ()), None, "out of range");
        assert_eq!(LongDouble::parse(&[b"0.", &longest.as_bytes()[2..]].concat()).map(|_| ()), Some(()));
        assert_eq!(LongDouble::parse(&[b"0.", longest.as_bytes()].concat()).map(|_| ()), None, "too long");
    }

    proptest! {
        #[test]
        fn integers_survive_a_round_trip(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn doubles_survive_a_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            let text = format_f64(value);
            prop_assert!(!text.spilled());
            prop_assert_eq!(parse_f64(&text).map(f64::to_bits), (!value.is_nan()).then_some(bits));
        }

        #[test]
        fn hexadecimal_and_decimal_agree(value in any::<u64>(), exponent in -60i32..60) {
            let decimal = value as f64 * 2f64.powi(exponent);
            prop_assert_eq!(parse_f64(format!("{value:#x}p{exponent}").as_bytes()), Some(decimal));
        }

        #[test]
        fn whole_long_doubles_are_exact(a in any::<i64>(), b in any::<i32>()) {
            let sum = i128::from(a) + i128::from(b);
            prop_assume!(sum.unsigned_abs() < 1 << 64);
            prop_assert_eq!(incrbyfloat(&a.to_string(), &b.to_string()), sum.to_string());
        }

        #[test]
        fn no_text_upsets_the_parsers(text in "[-+]?(0[xX])?[0-9a-fA-F.eEpPinNtTyY+-]{0,24}", bytes: Vec<u8>) {
            for text in [text.as_bytes(), &bytes] {
                let wide = LongDouble::parse(text);
                prop_assert!(parse_f64(text).is_none() || wide.is_some(), "what is a double is a long double");
                if let Some(wide) = wide {
                    wide.format();
                }
                if let Some(integer) = parse_i64(text) {
                    prop_assert_eq!(wide.map(LongDouble::format), Some(integer.to_string()));
                }
            }
        }
    }
}
