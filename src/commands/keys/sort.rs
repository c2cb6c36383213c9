//! SORT and SORT_RO: the elements of a list, a set or a sorted set in another order, and what they lead to.

use bytes::Bytes;

use super::Result;
use crate::commands::parse::Args;
use crate::commands::{
    Argument, ArgumentKind, BeginSearch, Command, CommandError, FindKeys, Flag, Group, KeySpec, Operation, Run,
};
use crate::keyspace::{EventClass, Keyspace, Record, Type};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::list::{Editor, End};
use crate::types::sort::{self, Pattern, Weight};

const COMPLEXITY: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number \
    of returned elements. When the elements are not sorted, complexity is O(N).";

const BY_AND_GET: KeySpec = KeySpec {
    flags: &["RO", "access"],
    begin: BeginSearch::Unknown,
    find: FindKeys::Unknown,
    notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the \
        key we sort",
};

const PATTERN: Argument = Argument { key_spec: Some(1), ..Argument::new("pattern", ArgumentKind::Pattern) };

/// Which arguments SORT_RO takes, and SORT in front of its own.
const ARGUMENTS: [Argument; 6] = [
    Argument::key("key", 0),
    PATTERN.token("BY").optional(),
    Argument::block("offset_count", &[Argument::integer("offset"), Argument::integer("count")])
        .token("LIMIT")
        .optional(),
    PATTERN.token("GET").optional().multiple().multiple_token(),
    Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
    Argument::flag("sorting", "ALPHA").optional(),
];

const BASE: Command = Command {
    group: Group::Generic,
    complexity: COMPLEXITY,
    arity: -2,
    categories: &["@set", "@sortedset", "@list", "@dangerous"],
    ..Command::BASE
};

pub(super) static SORT: Command = Command {
    name: "sort",
    summary: "Sort the elements in a list, set or sorted set",
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[
        KeySpec::one(1, &["RO", "access"]),
        BY_AND_GET,
        KeySpec {
            flags: &["OW", "update"],
            begin: BeginSearch::Unknown,
            find: FindKeys::Search(find_destination),
            notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in \
                the argument array",
        },
    ],
    arguments: &[
        ARGUMENTS[0],
        ARGUMENTS[1],
        ARGUMENTS[2],
        ARGUMENTS[3],
        ARGUMENTS[4],
        ARGUMENTS[5],
        Argument::key("destination", 2).token("STORE").optional(),
    ],
    examples: r#"> RPUSH mylist 3 1 2
(integer) 3
> SORT mylist
1) "1"
2) "2"
3) "3"
> MSET weight_1 30 weight_2 10 weight_3 20 name_1 one name_3 three
OK
> SORT mylist BY weight_* DESC LIMIT 0 2 GET # GET name_*
1) "1"
2) "one"
3) "3"
4) "three"
> SORT mylist ALPHA STORE sorted
(integer) 3"#,
    run: Run::Storage(|args| Sort::parse(args, true)),
    ..BASE
};

pub(super) static SORT_RO: Command = Command {
    name: "sort_ro",
    summary: "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
    since: "7.0.0",
    flags: &[Flag::Readonly, Flag::Movablekeys],
    keys: &[KeySpec::one(1, &["RO", "access"]), BY_AND_GET],
    arguments: &ARGUMENTS,
    examples: r#"> RPUSH mylist 3 1 2
(integer) 3
> SORT_RO mylist DESC
1) "3"
2) "2"
3) "1""#,
    run: Run::Storage(|args| Sort::parse(args, false)),
    ..BASE
};

/// Where the destination is: behind the last STORE that is no other option's value.
fn find_destination(args: &CommandArgs) -> Vec<usize> {
    let mut found = None;
    let mut at = 2;
    while at < args.len() {
        let is = |word: &[u8]| args[at].eq_ignore_ascii_case(word);
        if is(b"LIMIT") {
            at += 2;
        } else if is(b"GET") || is(b"BY") {
            at += 1;
        } else if is(b"STORE") && at + 1 < args.len() {
            found = Some(at + 1);
        }
        at += 1;
    }
    found.into_iter().collect()
}

#[derive(Debug)]
struct Sort {
    key: Bytes,
    by: Option<Pattern>,
    get: Vec<Pattern>,
    offset: i64,
    /// Negative: all.
    count: i64,
    descending: bool,
    alpha: bool,
    store: Option<Bytes>,
}

impl Sort {
    fn parse(args: &CommandArgs, may_store: bool) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let (by, get, store) = (None, Vec::new(), None);
        let mut sort = Sort { key, by, get, offset: 0, count: -1, descending: false, alpha: false, store };
        while !args.is_done() {
            let behind = args.remaining() - 1;
            if args.take_word("ASC") {
                sort.descending = false;
            } else if args.take_word("DESC") {
                sort.descending = true;
            } else if args.take_word("ALPHA") {
                sort.alpha = true;
            } else if behind >= 2 && args.take_word("LIMIT") {
                (sort.offset, sort.count) = (args.next_i64()?, args.next_i64()?);
            } else if may_store && behind >= 1 && args.take_word("STORE") {
                sort.store = Some(args.next_bytes()?);
            } else if behind >= 1 && args.take_word("BY") {
                sort.by = Some(match args.next_bytes()? {
                    // Without a `*` nothing is to be sorted, not even by the element itself.
                    pattern if memchr::memchr(b'*', sort::c_string(&pattern)).is_none() => Pattern::Nowhere,
                    pattern => Pattern::parse(&pattern),
                });
            } else if behind >= 1 && args.take_word("GET") {
                sort.get.push(Pattern::parse(&args.next_bytes()?));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(Box::new(sort))
    }

    /// The elements in the order asked for, cut to LIMIT.
    fn sorted(&self, keyspace: &mut Keyspace<'_>) -> Result<Vec<Bytes>> {
        let Some(record) = keyspace.get(&self.key)? else { return Ok(Vec::new()) };
        let mut elements = sort::elements(keyspace, &record)?;
        if self.by == Some(Pattern::Nowhere) && !(record.kind == Type::Set && self.store.is_some()) {
            // A set has no order that DESC could turn.
            if self.descending && record.kind != Type::Set {
                elements.reverse();
            }
        } else {
            elements = self.order(keyspace, &record, elements)?;
        }
        let len = elements.len() as i64;
        let start = self.offset.clamp(0, len);
        let end = if self.count < 0 { len } else { start.saturating_add(self.count).min(len) };
        elements.truncate(end as usize);
        elements.drain(..start as usize);
        Ok(elements)
    }

    fn order(&self, keyspace: &mut Keyspace<'_>, record: &Record, elements: Vec<Bytes>) -> Result<Vec<Bytes>> {
        // What is stored of a set must not depend on an order that it does not have.
        let forced = record.kind == Type::Set && self.by == Some(Pattern::Nowhere);
        let (by, alpha) = if forced { (None, true) } else { (self.by.as_ref(), self.alpha) };
        let mut weighed = Vec::with_capacity(elements.len());
        let mut all_numbers = true;
        for element in elements {
            let value = match by {
                Some(pattern) => pattern.look_up(keyspace, &element)?,
                None => Some(element.clone()),
            };
            let weight = match (alpha, value) {
                (true, value) => Weight::Text(value),
                (false, None) => Weight::Number(0.0),
                (false, Some(value)) => {
                    let number = sort::parse_number(&value);
                    all_numbers &= number.is_some();
                    Weight::Number(number.unwrap_or(0.0))
                }
            };
            weighed.push((weight, element));
        }
        if !all_numbers {
            return Err(CommandError::custom("ERR One or more scores can't be converted into double"));
        }
        weighed.sort_by(|a, b| {
            let order = sort::compare((&a.0, &a.1), (&b.0, &b.1), self.store.is_some());
            if self.descending { order.reverse() } else { order }
        });
        Ok(weighed.into_iter().map(|(_, element)| element).collect())
    }

    /// What is replied or stored: the elements, or what they lead to.
    fn output(&self, keyspace: &mut Keyspace<'_>) -> Result<Vec<Option<Bytes>>> {
        let elements = self.sorted(keyspace)?;
        if self.get.is_empty() {
            return Ok(elements.into_iter().map(Some).collect());
        }
        let mut values = Vec::with_capacity(elements.len());
        for element in &elements {
            for pattern in &self.get {
                values.push(pattern.look_up(keyspace, element)?);
            }
        }
        Ok(values)
    }
}

impl Operation for Sort {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let output = self.output(keyspace)?;
        let Some(destination) = &self.store else {
            reply.array(output.len());
            for value in &output {
                match value {
                    Some(value) => reply.bulk(value),
                    None => reply.null(),
                }
            }
            return Ok(());
        };
        reply.integer(output.len() as i64);
        let mut list = Editor::replace(keyspace, destination)?;
        let is_empty = output.is_empty();
        for value in output {
            list.push(keyspace, End::Right, value.unwrap_or_default())?;
        }
        let removed = list.finish(keyspace)?;
        if !is_empty {
            keyspace.notify(EventClass::List, "sortstore", destination);
        } else if removed {
            keyspace.notify(EventClass::Generic, "del", destination);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::check;

    #[test]
    fn by_number_by_text_and_not_at_all() {
        check(
            r#"
            > RPUSH l 10 9 1.5 -3 "" 9
            (integer) 6
            > SORT l
            1) "-3"
            2) ""
            3) "1.5"
            4) "9"
            5) "9"
            6) "10"
            > SORT l DESC LIMIT 1 2
            1) "9"
            2) "9"
            > SORT l ALPHA
            1) ""
            2) "-3"
            3) "1.5"
            4) "10"
            5) "9"
            6) "9"
            > SORT l BY nosort DESC LIMIT 0 3
            1) "9"
            2) ""
            3) "-3"
            > SORT_RO l BY # LIMIT 1 2
            1) "9"
            2) "1.5"
            > RPUSH l x
            (integer) 7
            > SORT l
            (error) ERR One or more scores can't be converted into double
            > SORT l LIMIT 0 0
            (error) ERR One or more scores can't be converted into double
            "#,
        );
    }

    #[test]
    fn by_and_get_follow_patterns_into_strings_and_hashes() {
        check(
            r#"
            > SADD s 1 2 3 4
            (integer) 4
            > HSET h1 f 30 g one
            (integer) 2
            > HSET h2 f 20 g two
            (integer) 2
            > HSET h3 f 10
            (integer) 1
            > SORT s BY h*->f GET # GET h*->g GET nothing
             1) "4"
             2) (nil)
             3) (nil)
             4) "3"
             5) (nil)
             6) (nil)
             7) "2"
             8) "two"
             9) (nil)
            10) "1"
            11) "one"
            12) (nil)
            > SORT s BY h*->g ALPHA DESC
            1) "2"
            2) "1"
            ...
            > SORT s BY h* GET h*
            1) (nil)
            2) (nil)
            3) (nil)
            4) (nil)
            "#,
        );
    }

    #[test]
    fn what_is_stored_is_a_list() {
        check(
            r#"
            > SADD s b a 10 9
            (integer) 4
            > SET d x EX 10
            OK
            > SORT s BY nosort DESC STORE d
            (integer) 4
            > LRANGE d 0 -1
            1) "b"
            2) "a"
            3) "9"
            4) "10"
            > TTL d
            (integer) -1
            > SORT d ALPHA GET nothing STORE d
            (integer) 4
            > LRANGE d 0 -1
            1) ""
            2) ""
            3) ""
            4) ""
            > SORT nothing STORE d
            (integer) 0
            > EXISTS d
            (integer) 0
            "#,
        );
    }

    #[test]
    fn sort_refuses() {
        check(
            r#"
            > SET k v
            OK
            > SORT k
            (error) WRONGTYPE Operation against a key holding the wrong kind of value
            > SORT k FOO
            (error) ERR syntax error
            > SORT k LIMIT 0
            (error) ERR syntax error
            > SORT k LIMIT 0 x
            (error) ERR value is not an integer or out of range
            > SORT_RO k STORE d
            (error) ERR syntax error
            > SORT nothing
            (empty array)
            > RPUSH l 1 2
            (integer) 2
            > SORT l LIMIT 9223372036854775807 9223372036854775807
            (empty array)
            > SORT l LIMIT -9223372036854775808 1
            1) "1"
            > SORT l LIMIT 0 -5
            1) "1"
            2) "2"
            "#,
        );
    }
}
