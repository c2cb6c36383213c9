//! The files beside the source: plans, the table in the README, and everything that has failed before: `sim/seeds.txt`, one run to a line, a scenario and a seed or a plan's file. A plan
//! outlives changes of the scenario that drew it, a seed does not.

use std::path::Path;

use crate::plan::Plan;
use crate::scenario;

/// A run that once failed.
pub struct Known {
    /// As the file has it.
    pub name: String,
    pub plan: Plan,
}

/// Reads the list; paths in it are relative to it.
pub fn read(file: &Path) -> Result<Vec<Known>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| known(file, line)).collect()
}

fn known(file: &Path, line: &str) -> Result<Known, String> {
    let plan = match line.split_whitespace().collect::<Vec<_>>()[..] {
        [path] => read_plan(&file.with_file_name(path))?,
        [name, seed] => {
            let scenario = scenario::find(name).ok_or_else(|| format!("no scenario is called {name}"))?;
            scenario.plan(seed.parse().map_err(|_| format!("not a seed: {line}"))?)
        }
        _ => return Err(format!("neither a scenario and a seed nor a file: {line}")),
    };
    Ok(Known { name: line.to_string(), plan })
}

pub fn read_plan(path: &Path) -> Result<Plan, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    text.parse().map_err(|error| format!("{}: {error}", path.display()))
}

/// Replaces what stands between `<!-- name -->` and `<!-- end of name -->` in a file.
pub fn replace_part(path: &Path, name: &str, text: &str) -> Result<(), String> {
    let before = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let places = before.find(&begin).zip(before.find(&end));
    let (from, to) = places.ok_or_else(|| format!("{} has no place for {name}", path.display()))?;
    let after = format!("{}{begin}{text}{}", &before[..from], &before[to..]);
    std::fs::write(path, after).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
