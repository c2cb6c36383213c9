//! Which arguments nobody may see but the command itself: for the slow log, and whatever else shows commands to others.

use super::table::Call;
use crate::config::{self, DIRECTIVES};
use crate::resp::CommandArgs;

/// Whether an argument is a password (or the name that goes with it), in AUTH, HELLO or CONFIG SET.
pub fn is_secret(call: &Call, args: &CommandArgs, index: usize) -> bool {
    match (call.container.map(|container| container.name), call.command.name) {
        (None, "auth") => index > 0,
        (None, "hello") => {
            let is_auth = |at: usize| args.get(at).is_some_and(|word| at > 1 && word.eq_ignore_ascii_case(b"auth"));
            [1, 2].iter().any(|back| index.checked_sub(*back).is_some_and(is_auth))
        }
        (Some("config"), "set") => {
            let name = args.get(index.saturating_sub(1)).unwrap_or_default();
            index >= 3 && index % 2 == 1 && config::find(name).is_some_and(|(row, _)| DIRECTIVES[row].secret)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::CommandTable;
    use crate::observe::CommandStats;

    #[test]
    fn passwords_are_secret_and_nothing_else() {
        let commands = CommandTable::new(&[], &CommandStats::default());
        for (line, expected) in [
            ("auth pw", "auth *"),
            ("AUTH default pw", "AUTH * *"),
            ("hello 3 auth default pw setname x", "hello 3 auth * * setname x"),
            ("hello 3 setname auth", "hello 3 setname auth"),
            ("config set requirepass pw timeout 3", "config set requirepass * timeout 3"),
            ("CONFIG SET timeout 3 MasterAuth pw", "CONFIG SET timeout 3 MasterAuth *"),
            ("config get requirepass", "config get requirepass"),
            ("echo auth", "echo auth"),
        ] {
            let args = CommandArgs::from_line(line.as_bytes()).unwrap();
            let call = commands.resolve(&args).unwrap();
            let shown = args.iter().enumerate().map(|(index, arg)| match is_secret(&call, &args, index) {
                true => "*".into(),
                false => String::from_utf8_lossy(arg).into_owned(),
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), expected);
        }
    }
}
