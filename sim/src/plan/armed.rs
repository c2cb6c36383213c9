//! The faults of a plan as failpoints of the real server: what to arm it with, and when. So a case that was found here can be
//! looked at there.
//!
//! Armed from the start, a server whose engine fails does not start: in a simulation it is started again and again. Then the
//! script is what to use. And whoever arms the network's places may be among those whose connection breaks.
//!
//! Not everything that befalls a simulated machine has a failpoint: kills, power cuts, networks and clocks have none, and
//! what is left out is said.

use std::fmt::Write;

use bulkhead::failpoints;

use super::{Call, Fault, Plan};

/// What arms a server that was built with failpoints: the variable of its environment that arms all from its start, and
/// below it a script that arms each at its time.
pub fn script(plan: &Plan) -> String {
    let mut at_start: Vec<(&str, String)> = Vec::new();
    let mut orders: Vec<(u64, String)> = Vec::new();
    for (at_ms, fault) in &plan.faults {
        let Some((place, action)) = action(fault) else {
            orders.push((*at_ms, format!("# no failpoint does this: {fault}")));
            continue;
        };
        match at_start.iter_mut().find(|(known, _)| *known == place) {
            Some((_, actions)) => *actions += &format!("->{action}"),
            None => at_start.push((place, action.clone())),
        }
        orders.push((*at_ms, format!("$CLI DEBUG FAILPOINT {place} '{action}'")));
        if fault.duration_ms() > 0 {
            orders.push((at_ms + fault.duration_ms(), format!("$CLI DEBUG FAILPOINT {place} off")));
        }
    }
    orders.sort_by_key(|(at_ms, _)| *at_ms);
    let armed: Vec<String> = at_start.iter().map(|(place, actions)| format!("{place}={actions}")).collect();
    let mut text = format!("# From the start: FAILPOINTS='{}'\n", armed.join(";"));
    text += "# In time:\nCLI=${CLI:-redis-cli}\n";
    let mut now_ms = 0;
    for (at_ms, order) in orders {
        if at_ms > now_ms {
            let _ = writeln!(text, "sleep {:.3}", (at_ms - now_ms) as f64 / 1000.0);
            now_ms = at_ms;
        }
        let _ = writeln!(text, "{order}");
    }
    text
}

/// The place that does what a fault does, and the action for it.
fn action(fault: &Fault) -> Option<(&'static str, String)> {
    let lasting = |place, what: failpoints::Fault| Some((place, format!("return({what})")));
    match *fault {
        Fault::Failpoint { place, what, times: 0, .. } => Some((place.name(), format!("return({what})"))),
        Fault::Failpoint { place, what, times, .. } => Some((place.name(), format!("{times}*return({what})"))),
        Fault::Stall { .. } => lasting("engine.write", failpoints::Fault::WriteStall),
        Fault::NoSpace { .. } => lasting("engine.write", failpoints::Fault::NoSpace),
        Fault::IoError { .. } => lasting("engine.write", failpoints::Fault::Io),
        Fault::SyncFails { .. } => lasting("engine.sync", failpoints::Fault::Sync),
        Fault::Panic { call, nth } => {
            let place = match call {
                Call::BeforeWrite => "engine.write",
                Call::AfterWrite => "engine.written",
                Call::Read => "engine.get",
                Call::Snapshot | Call::Sync => return None,
            };
            let passed = if nth > 1 { format!("{}*off->", nth - 1) } else { String::new() };
            Some((place, format!("{passed}1*return(panic)")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_failpoint_is_armed_in_time_and_the_rest_is_named() {
        let plan: Plan = "plan 1\nfault 20 failpoint writer.receive stall:250 2 0\nfault 20 stall 100\n\
                          fault 40 panic after-write 3\nfault 50 kill 1\n"
            .parse()
            .expect("it is a plan");
        assert_eq!(
            script(&plan),
            "# From the start: FAILPOINTS='writer.receive=2*return(stall:250);engine.write=return(write-stall);\
             engine.written=2*off->1*return(panic)'\n\
             # In time:\nCLI=${CLI:-redis-cli}\n\
             sleep 0.020\n$CLI DEBUG FAILPOINT writer.receive '2*return(stall:250)'\n\
             $CLI DEBUG FAILPOINT engine.write 'return(write-stall)'\n\
             sleep 0.020\n$CLI DEBUG FAILPOINT engine.written '2*off->1*return(panic)'\n\
             sleep 0.010\n# no failpoint does this: kill 1\n\
             sleep 0.070\n$CLI DEBUG FAILPOINT engine.write off\n"
        );
    }
}
