//! Redis' glob patterns (`stringmatchlen`), byte for byte: `*`, `?`, `[a-c]`, `[^a]` and `\x`.
//!
//! For KEYS, SCAN MATCH, PSUBSCRIBE, CONFIG GET, ACL patterns and whatever else takes a pattern. It must never recurse
//! and never take longer than the product of both lengths: patterns come from clients.

/// Whether `pattern` describes the whole of `text`, byte by byte.
///
/// As in Redis, an empty text is matched by the empty pattern only, not even by `*`: KEYS and SCAN, where `*` means
/// every key, look for that pattern themselves.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// [`matches()`], where ASCII letters stand for both their cases. As in Redis, a letter escaped inside `[…]` does not.
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

/// Everything but `*` takes exactly one byte, so only the last `*` seen ever needs to be tried with a longer piece of
/// text: what an earlier one could still give, the later one can take as well.
fn run(mut pattern: &[u8], mut text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut last_star = None;
    while let Some((&byte, after)) = text.split_first() {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            last_star = Some((rest, after));
        } else if let Some(rest) = match_byte(pattern, byte, nocase) {
            (pattern, text) = (rest, after);
        } else if let Some((rest, longer)) = last_star {
            (pattern, text) = (rest, longer);
            last_star = Some((rest, longer.get(1..).unwrap_or_default()));
        } else {
            return false;
        }
    }
    pattern.iter().all(|&byte| byte == b'*')
}

/// Matches one byte against the head of the pattern; on success, the pattern that is left.
fn match_byte(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    let (matched, rest) = match pattern {
        [] => (false, pattern),
        [b'?', rest @ ..] => (true, rest),
        [b'[', class @ ..] => match_class(class, byte, nocase),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (same(*literal, byte, nocase), rest),
    };
    matched.then_some(rest)
}

/// Matches one byte against the class whose `[` was just taken; the pattern behind its `]` comes back as well. A class
/// that is never closed goes to the end of the pattern; `]` right behind `[` closes it.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, &[u8]) {
    let (negated, mut class) = class.strip_prefix(b"^").map_or((false, class), |rest| (true, rest));
    let mut found = false;
    loop {
        class = match class {
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [] => return (found != negated, class),
            [b']', rest @ ..] => return (found != negated, rest),
            [from, b'-', to, rest @ ..] => {
                found |= in_range(*from, *to, byte, nocase);
                rest
            }
            [literal, rest @ ..] => {
                found |= same(*literal, byte, nocase);
                rest
            }
        }
    }
}

/// Bytes are compared signed, as `char` is where Redis mostly runs, and the ends of the range may come in either order.
fn in_range(from: u8, to: u8, byte: u8, nocase: bool) -> bool {
    let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() } else { byte }.cast_signed();
    let (low, high) = if from.cast_signed() > to.cast_signed() { (to, from) } else { (from, to) };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

fn same(literal: u8, byte: u8, nocase: bool) -> bool {
    literal == byte || nocase && literal.eq_ignore_ascii_case(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pattern, text, and what KEYS of redis-server 7.0.15 says.
    const SEEN_IN_REDIS: &[(&[u8], &[u8], bool)] = &[
        (b"", b"", true),
        (b"", b"a", false),
        (b"**", b"", false),
        (b"*?", b"", false),
        (b"*?*", b"a", true),
        (b"?", b"\xff", true),
        (b"a**", b"a", true),
        (b"a***b", b"ab", true),
        (b"a*b*c", b"axxbyyc", true),
        (b"a*b*c", b"axxbyycz", false),
        (b"a*b*", b"ab", true),
        (b"*ab*ab", b"aabab", true),
        (b"a\0b", b"a\0b", true),
        (b"\\*", b"*", true),
        (b"\\*", b"a", false),
        (b"a\\", b"a\\", true),
        (b"a\\", b"a", false),
        (b"*\\", b"a\\", true),
        (b"[", b"[", false),
        (b"*[", b"[", false),
        (b"[^", b"a", true),
        (b"[^", b"ab", false),
        (b"*[^", b"ab", true),
        (b"[^]", b"a", true),
        (b"[]", b"a", false),
        (b"[]a]", b"a]", false),
        (b"[\\", b"\\", true),
        (b"[\\]", b"]", true),
        (b"[\\]", b"\\", false),
        (b"[\\]]", b"]", true),
        (b"[a-", b"a", true),
        (b"[a-", b"-", true),
        (b"[a-]", b"_", true),
        (b"[a-]", b"-", false),
        (b"[-a]", b"-", true),
        (b"[--0]", b".", true),
        (b"[a-c-e]", b"-", true),
        (b"[a-c-e]", b"d", false),
        (b"[z-a]", b"m", true),
        (b"[a-zx", b"x", true),
        (b"[a\\-z]", b"-", true),
        (b"[a\\-z]", b"m", false),
        (b"[a-\\z]", b"]", true),
        (b"[a-\\z]", b"b", false),
        (b"[a-\xff]", b"b", false),
        (b"[a-\xff]", b"A", true),
        (b"[a-\xff]", b"\xfe", false),
        (b"[\x80-\xff]", b"\x90", true),
        (b"[^a-c]d", b"xd", true),
        (b"[!a]", b"b", false),
        (b"[^^]", b"^", false),
        (b"[a^]", b"^", true),
    ];

    #[test]
    fn patterns_match_what_redis_matches() {
        for (pattern, text, expected) in SEEN_IN_REDIS {
            let (shown, against) = (pattern.escape_ascii(), text.escape_ascii());
            assert_eq!(matches(pattern, text), *expected, "{shown} against {against}");
        }
    }

    #[test]
    fn nocase_folds_letters_and_ranges_but_not_escapes_in_a_class() {
        assert!(matches_nocase(b"MAXMEM*", b"maxmemory"));
        assert!(matches_nocase(b"[L-N]ax", b"max"));
        assert!(matches_nocase(b"[n-L]ax", b"max"));
        assert!(matches_nocase(b"\\Max", b"max"));
        assert!(!matches_nocase(b"[^M]ax", b"max"));
        assert!(!matches_nocase(b"[\\M]ax", b"max"));
        assert!(!matches(b"MAX", b"max"));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        let text = vec![b'a'; 4096];
        assert!(!matches(&[b"*a".repeat(2000), b"b".to_vec()].concat(), &text));
        assert!(matches(&b"*a".repeat(4096), &text));
    }

    /// The definition, tried every way: exponential, hence for short patterns only.
    fn matches_by_trying_everything(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| matches_by_trying_everything(rest, &text[n..], nocase)),
            ([], []) => true,
            (_, []) => false,
            (_, [byte, after @ ..]) => {
                match_byte(pattern, *byte, nocase).is_some_and(|rest| matches_by_trying_everything(rest, after, nocase))
            }
        }
    }

    proptest! {
        #[test]
        fn one_star_to_return_to_is_enough(pattern in "[ab*?\\[\\]^-]{0,12}", text in "[abAB-]{1,12}", nocase: bool) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(run(pattern, text, nocase), matches_by_trying_everything(pattern, text, nocase));
        }

        #[test]
        fn an_escaped_text_matches_itself(text in proptest::collection::vec(any::<u8>(), 0..40), other: Vec<u8>) {
            let pattern: Vec<u8> = text.iter().flat_map(|&byte| [b'\\', byte]).collect();
            prop_assert!(matches(&pattern, &text));
            prop_assert_eq!(matches(&pattern, &other), text == other);
        }
    }
}
