//! Writing JSON: as much of it as health reports, the status page and log lines need. Nothing here reads any.

use std::fmt::{Display, Write};

/// A JSON text in the making. The caller opens and closes objects and arrays in pairs.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
    /// The next value follows another one.
    follows: bool,
}

impl Json {
    pub fn new() -> Json {
        Json::default()
    }

    /// An object whose fields `fields` writes.
    pub fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.nested('{', '}', fields);
    }

    /// An array whose elements `elements` writes.
    pub fn array(&mut self, elements: impl FnOnce(&mut Json)) {
        self.nested('[', ']', elements);
    }

    /// The name of a field; its value comes next.
    pub fn key(&mut self, name: &str) -> &mut Json {
        self.string(name);
        self.text.push(':');
        self.follows = false;
        self
    }

    pub fn string(&mut self, value: &str) {
        self.separate();
        self.text.push('"');
        for char in value.chars() {
            match char {
                '"' | '\\' => self.text.extend(['\\', char]),
                '\n' => self.text.push_str("\\n"),
                // Writing to a string cannot fail.
                char if u32::from(char) < 0x20 => _ = write!(self.text, "\\u{:04x}", u32::from(char)),
                char => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    /// A number, which must be finite.
    pub fn number(&mut self, value: impl Display) {
        self.separate();
        let _ = write!(self.text, "{value}");
    }

    pub fn bool(&mut self, value: bool) {
        self.number(value);
    }

    pub fn into_text(self) -> String {
        self.text
    }

    fn nested(&mut self, open: char, close: char, inside: impl FnOnce(&mut Json)) {
        self.separate();
        self.text.push(open);
        self.follows = false;
        inside(self);
        self.text.push(close);
        self.follows = true;
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.follows, true) {
            self.text.push(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_and_arrays_nest_and_strings_are_escaped() {
        let mut json = Json::new();
        json.object(|json| {
            json.key("a").number(1);
            json.key("b").array(|json| {
                json.string("q\"\\\n\u{1}é");
                json.bool(true);
                json.object(|_| {});
            });
            json.key("c").array(|_| {});
        });
        assert_eq!(json.into_text(), r#"{"a":1,"b":["q\"\\\n\u0001é",true,{}],"c":[]}"#);
    }
}
