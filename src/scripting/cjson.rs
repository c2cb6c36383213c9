//! The library `cjson`: JSON, as lua-cjson 2.1.0 writes and reads it, its settings and its errors included.
//!
//! It must never recurse deeper than its bound, whatever a script sets.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Result, Table, Value};
use parking_lot::Mutex;

use super::arguments::{Arguments, c_number, is_true};
use super::raise::{bad_argument, fail, type_name};
use crate::limits;

/// What a script may set, for itself.
#[derive(Clone, Copy, Debug)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    precision: i64,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// What becomes of a number that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1000,
            decode_depth: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// The settings of the running script.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Settings>>);

impl Shared {
    /// For the next script.
    pub fn reset(&self) {
        *self.0.lock() = Settings::default();
    }

    fn get(&self) -> Settings {
        *self.0.lock()
    }
}

pub fn library(lua: &Lua) -> Result<Table> {
    let settings = Shared::default();
    lua.set_app_data(settings.clone());
    let cjson = lua.create_table()?;
    let shared = settings.clone();
    cjson.raw_set("encode", lua.create_function(move |lua, args| encode(lua, args, shared.get()))?)?;
    let shared = settings.clone();
    cjson.raw_set("decode", lua.create_function(move |lua, args| decode(lua, args, shared.get()))?)?;
    type Set = fn(&Arguments<'_>, &Lua, &mut Settings) -> Result<MultiValue>;
    let sets: [(&str, Set); 7] = [
        ("encode_sparse_array", |args, lua, settings| {
            flag(args, 1, &mut settings.sparse_convert);
            integer(lua, args, 2, &mut settings.sparse_ratio, 0, i64::from(i32::MAX))?;
            integer(lua, args, 3, &mut settings.sparse_safe, 0, i64::from(i32::MAX))?;
            let numbers = [settings.sparse_ratio, settings.sparse_safe].map(Value::Integer);
            Ok([Value::Boolean(settings.sparse_convert)].into_iter().chain(numbers).collect())
        }),
        ("encode_max_depth", |args, lua, settings| {
            integer(lua, args, 1, &mut settings.encode_depth, 1, i64::from(i32::MAX))
        }),
        ("decode_max_depth", |args, lua, settings| {
            integer(lua, args, 1, &mut settings.decode_depth, 1, i64::from(i32::MAX))
        }),
        ("encode_number_precision", |args, lua, settings| integer(lua, args, 1, &mut settings.precision, 1, 14)),
        ("encode_keep_buffer", |args, _, settings| Ok(flag(args, 1, &mut settings.keep_buffer))),
        ("decode_invalid_numbers", |args, _, settings| Ok(flag(args, 1, &mut settings.decode_invalid))),
        ("encode_invalid_numbers", |args, _, settings| {
            match args.get(1) {
                Some(Value::String(word)) if *word.as_bytes() == *b"null" => settings.encode_invalid = Invalid::Null,
                Some(value) if is_true(value) => settings.encode_invalid = Invalid::Written,
                Some(Value::Boolean(false)) => settings.encode_invalid = Invalid::Refused,
                _ => {}
            }
            Ok(MultiValue::from_iter([Value::Boolean(settings.encode_invalid != Invalid::Refused)]))
        }),
    ];
    for (name, set) in sets {
        let shared = settings.clone();
        let set = move |lua: &Lua, args: MultiValue| set(&Arguments::new(lua, args), lua, &mut shared.0.lock());
        cjson.raw_set(name, lua.create_function(set)?)?;
    }
    cjson.raw_set("null", Value::NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    Ok(cjson)
}

fn flag(args: &Arguments<'_>, index: usize, setting: &mut bool) -> MultiValue {
    if !args.value(index).is_nil() {
        *setting = args.is_true(index);
    }
    MultiValue::from_iter([Value::Boolean(*setting)])
}

fn integer(
    lua: &Lua,
    args: &Arguments<'_>,
    index: usize,
    setting: &mut i64,
    least: i64,
    most: i64,
) -> Result<MultiValue> {
    let value = args.integer_or(index, *setting)?;
    if !(least..=most).contains(&value) {
        return Err(bad_argument(lua, index, &format!("expected integer between {least} and {most}")));
    }
    *setting = value;
    Ok(MultiValue::from_iter([Value::Integer(value)]))
}

fn check_single(lua: &Lua, args: &Arguments<'_>) -> Result<()> {
    if args.len() == 1 { Ok(()) } else { Err(bad_argument(lua, 1, "expected 1 argument")) }
}

// ---- Writing -------------------------------------------------------------------------------------------------------

fn encode(lua: &Lua, args: MultiValue, settings: Settings) -> Result<mlua::LuaString> {
    let args = Arguments::new(lua, args);
    check_single(lua, &args)?;
    let mut writer = Writer { lua, settings, out: Vec::new() };
    writer.put(&args.value(1), 0)?;
    lua.create_string(writer.out)
}

struct Writer<'l> {
    lua: &'l Lua,
    settings: Settings,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn refuse(&self, value: &Value, why: &str) -> mlua::Error {
        fail(self.lua, format!("Cannot serialise {}: {why}", type_name(value)))
    }

    fn put(&mut self, value: &Value, depth: usize) -> Result<()> {
        if self.out.len() > limits::SCRIPT_MEMORY_BYTES_MAX {
            return Err(mlua::Error::MemoryError("not enough memory".into()));
        }
        match value {
            Value::String(text) => self.put_text(&text.as_bytes()),
            Value::Integer(number) => self.put_number(*number as f64, value)?,
            Value::Number(number) => self.put_number(*number, value)?,
            Value::Boolean(value) => self.out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::Table(table) => {
                let depth = depth + 1;
                if depth > limits::SCRIPT_JSON_DEPTH_MAX || depth as i64 > self.settings.encode_depth {
                    return Err(fail(self.lua, format!("Cannot serialise, excessive nesting ({depth})")));
                }
                match self.array_len(table)? {
                    Some(len @ 1..) => self.put_array(table, len, depth)?,
                    _ => self.put_object(table, depth)?,
                }
            }
            other if *other == Value::NULL => self.out.extend_from_slice(b"null"),
            other => return Err(self.refuse(other, "type not supported")),
        }
        Ok(())
    }

    /// How long a table is as an array; `None`: it is none.
    fn array_len(&self, table: &Table) -> Result<Option<i64>> {
        let (mut most, mut count) = (0i64, 0i64);
        for pair in table.pairs::<Value, Value>() {
            match pair?.0 {
                Value::Integer(index @ 1..) => {
                    most = most.max(index);
                    count += 1;
                }
                _ => return Ok(None),
            }
        }
        let Settings { sparse_ratio, sparse_safe, sparse_convert, .. } = self.settings;
        if sparse_ratio > 0 && most > count.saturating_mul(sparse_ratio) && most > sparse_safe {
            if !sparse_convert {
                return Err(self.refuse(&Value::Table(table.clone()), "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(most))
    }

    fn put_array(&mut self, table: &Table, len: i64, depth: usize) -> Result<()> {
        self.out.push(b'[');
        for index in 1..=len {
            if index > 1 {
                self.out.push(b',');
            }
            self.put(&table.raw_get(index)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn put_object(&mut self, table: &Table, depth: usize) -> Result<()> {
        self.out.push(b'{');
        let mut is_first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !std::mem::replace(&mut is_first, false) {
                self.out.push(b',');
            }
            match &key {
                Value::String(text) => self.put_text(&text.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.put(&key, depth)?;
                    self.out.push(b'"');
                }
                other => return Err(self.refuse(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.put(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn put_number(&mut self, number: f64, value: &Value) -> Result<()> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refused => return Err(self.refuse(value, "must not be NaN or Inf")),
                Invalid::Written => {}
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
            }
        }
        self.out.extend_from_slice(&c_number(number, self.settings.precision as usize));
        Ok(())
    }

    fn put_text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..=0x1f | 0x7f => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
    }
}

// ---- Reading -------------------------------------------------------------------------------------------------------

fn decode(lua: &Lua, args: MultiValue, settings: Settings) -> Result<Value> {
    let args = Arguments::new(lua, args);
    check_single(lua, &args)?;
    let text = args.text(1)?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(fail(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut reader = Reader { lua, settings, text: &text, at: 0, began: 0 };
    let first = reader.next();
    let value = reader.value(first, 0)?;
    match reader.next() {
        Token::End => Ok(value),
        other => Err(reader.unexpected("the end", &other)),
    }
}

#[derive(Debug, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Wrong(why) => why,
        }
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    settings: Settings,
    text: &'a [u8],
    at: usize,
    /// Where the last token began, or went wrong.
    began: usize,
}

impl Reader<'_> {
    fn unexpected(&self, wanted: &str, found: &Token) -> mlua::Error {
        let at = self.began + 1;
        fail(self.lua, format!("Expected {wanted} but found {} at character {at}", found.name()))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn wrong(&mut self, why: &'static str) -> Token {
        self.began = self.at;
        Token::Wrong(why)
    }

    fn next(&mut self) -> Token {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.began = self.at;
        let rest = &self.text[self.at..];
        let (token, len) = match rest.first() {
            None | Some(0) => return Token::End,
            Some(b'{') => (Token::ObjectBegin, 1),
            Some(b'}') => (Token::ObjectEnd, 1),
            Some(b'[') => (Token::ArrayBegin, 1),
            Some(b']') => (Token::ArrayEnd, 1),
            Some(b':') => (Token::Colon, 1),
            Some(b',') => (Token::Comma, 1),
            Some(b'"') => return self.text_token(),
            _ if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            _ if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            _ if rest.starts_with(b"null") => (Token::Null, 4),
            Some(b'-' | b'0'..=b'9') if self.settings.decode_invalid || !is_invalid_number(rest) => {
                return self.number_token();
            }
            Some(b'-' | b'0'..=b'9') => return Token::Wrong("invalid number"),
            _ if self.settings.decode_invalid && is_invalid_number(rest) => return self.number_token(),
            _ => return Token::Wrong("invalid token"),
        };
        self.at += len;
        token
    }

    fn number_token(&mut self) -> Token {
        match read_number(&self.text[self.at..]) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => self.wrong("invalid number"),
        }
    }

    fn text_token(&mut self) -> Token {
        let began = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let Some(byte) = self.peek().filter(|byte| *byte != 0) else {
                return self.wrong("unexpected end of string");
            };
            match byte {
                b'"' => break,
                b'\\' => {
                    let escape = self.text.get(self.at + 1).copied().unwrap_or(0);
                    let plain = match escape {
                        b'"' | b'\\' | b'/' => escape,
                        b'b' => 0x08,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0c,
                        b'r' => b'\r',
                        b'u' => {
                            let Some((char, len)) = read_unicode(&self.text[self.at..]) else {
                                return self.wrong("invalid unicode escape code");
                            };
                            text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                            self.at += len;
                            continue;
                        }
                        _ => return self.wrong("invalid escape code"),
                    };
                    text.push(plain);
                    self.at += 2;
                }
                _ => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        self.began = began;
        Token::Text(text)
    }

    fn descend(&self, depth: usize) -> Result<usize> {
        let depth = depth + 1;
        if depth > limits::SCRIPT_JSON_DEPTH_MAX || depth as i64 > self.settings.decode_depth {
            let at = self.at;
            return Err(fail(self.lua, format!("Found too many nested data structures ({depth}) at character {at}")));
        }
        Ok(depth)
    }

    fn value(&mut self, token: Token, depth: usize) -> Result<Value> {
        match token {
            Token::Text(text) => self.lua.create_string(text).map(Value::String),
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin => self.object(depth),
            Token::ArrayBegin => self.array(depth),
            other => Err(self.unexpected("value", &other)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value> {
        let depth = self.descend(depth)?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if token == Token::ObjectEnd {
            return Ok(Value::Table(table));
        }
        loop {
            let Token::Text(key) = token else { return Err(self.unexpected("object key string", &token)) };
            match self.next() {
                Token::Colon => {}
                other => return Err(self.unexpected("colon", &other)),
            }
            let first = self.next();
            let value = self.value(first, depth)?;
            table.raw_set(self.lua.create_string(key)?, value)?;
            match self.next() {
                Token::ObjectEnd => return Ok(Value::Table(table)),
                Token::Comma => token = self.next(),
                other => return Err(self.unexpected("comma or object end", &other)),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value> {
        let depth = self.descend(depth)?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if token == Token::ArrayEnd {
            return Ok(Value::Table(table));
        }
        for index in 1.. {
            let value = self.value(token, depth)?;
            table.raw_set(index, value)?;
            match self.next() {
                Token::ArrayEnd => break,
                Token::Comma => token = self.next(),
                other => return Err(self.unexpected("comma or array end", &other)),
            }
        }
        Ok(Value::Table(table))
    }
}

/// What begins like no number of JSON's, and yet like one of C's.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = match text.first() {
        Some(b'+') => return true,
        Some(b'-') => &text[1..],
        _ => text,
    };
    match text.first() {
        Some(b'0') => matches!(text.get(1), Some(b'x' | b'X' | b'0'..=b'9')),
        Some(..=b'9') => false,
        _ => text.len() >= 3 && [b"inf", b"nan"].iter().any(|word| text[..3].eq_ignore_ascii_case(&word[..])),
    }
}

/// As much of a text as `strtod` takes for a number, and its length.
fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let body = &text[sign..];
    let digits = |from: usize, is_digit: fn(&u8) -> bool| {
        body[from.min(body.len())..].iter().take_while(|byte| is_digit(byte)).count()
    };
    let starts = |word: &[u8]| body.len() >= word.len() && body[..word.len()].eq_ignore_ascii_case(word);
    let is_negative = text.first() == Some(&b'-');
    let signed = |number: f64| if is_negative { -number } else { number };
    if starts(b"infinity") {
        return Some((signed(f64::INFINITY), sign + 8));
    }
    if starts(b"inf") {
        return Some((signed(f64::INFINITY), sign + 3));
    }
    if starts(b"nan") {
        return Some((signed(f64::NAN), sign + 3));
    }
    let is_hex = starts(b"0x") && body.get(2).is_some_and(u8::is_ascii_hexdigit);
    let (is_digit, mark, mut len): (fn(&u8) -> bool, u8, usize) =
        if is_hex { (u8::is_ascii_hexdigit, b'p', 2) } else { (u8::is_ascii_digit, b'e', 0) };
    let whole = digits(len, is_digit);
    len += whole;
    let mut fraction = 0;
    if body.get(len) == Some(&b'.') {
        fraction = digits(len + 1, is_digit);
        len += 1 + fraction;
    }
    if whole + fraction == 0 {
        return None;
    }
    if body.get(len).is_some_and(|byte| byte.to_ascii_lowercase() == mark) {
        let sign = usize::from(matches!(body.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(len + 1 + sign, u8::is_ascii_digit);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    crate::number::parse_f64_as_strtod(&text[..sign + len]).map(|number| (number, sign + len))
}

/// `\u00e9`, or two of them that make one character: that, and its length.
fn read_unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits =
            std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).map(|char| (char, 6));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
    char::from_u32(0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff)).map(|char| (char, 12))
}
