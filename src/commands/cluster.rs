//! Redis Cluster: there is none, and clients are told so in Redis' words, whatever they ask of it. The rows are Redis', for
//! clients look at them, and what is wrong with a call comes before what is wrong with the server.

use super::{Argument, Command, CommandError, Flag, Group, Next, Run, Session};
use crate::resp::{CommandArgs, ReplyBuffer};

pub static COMMANDS: &[&Command] = &[&ASKING, &CLUSTER, &READONLY, &READWRITE];

/// A subcommand of CLUSTER.
const BASE: Command = Command { group: Group::Cluster, since: "3.0.0", run: Run::Session(no_cluster), ..Command::BASE };

/// What a connection of its own says of itself.
const CONNECTION: Command =
    Command { arity: 1, flags: &[Flag::Loading, Flag::Stale, Flag::Fast], categories: &["@connection"], ..BASE };

const STALE: &[Flag] = &[Flag::Stale];
/// What changes the cluster.
const CHANGING: &[Flag] = &[Flag::Admin, Flag::Stale, Flag::NoAsyncLoading];

fn no_cluster(_: &mut Session, _: &CommandArgs, _: &mut ReplyBuffer) -> Result<Next, CommandError> {
    Err(CommandError::custom("ERR This instance has cluster support disabled"))
}

static ASKING: Command = Command {
    name: "asking",
    summary: "Sent by cluster clients after an -ASK redirect",
    flags: &[Flag::Fast],
    examples: r#"> ASKING
(error) ERR This instance has cluster support disabled"#,
    ..CONNECTION
};

static READONLY: Command = Command {
    name: "readonly",
    summary: "Enables read queries for a connection to a cluster replica node",
    examples: r#"> READONLY
(error) ERR This instance has cluster support disabled"#,
    ..CONNECTION
};

static READWRITE: Command = Command {
    name: "readwrite",
    summary: "Disables read queries for a connection to a cluster replica node",
    examples: r#"> READWRITE
(error) ERR This instance has cluster support disabled"#,
    ..CONNECTION
};

static CLUSTER: Command = Command {
    name: "cluster",
    summary: "A container for cluster commands",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: &[
        &ADDSLOTS,
        &ADDSLOTSRANGE,
        &BUMPEPOCH,
        &COUNT_FAILURE_REPORTS,
        &COUNTKEYSINSLOT,
        &DELSLOTS,
        &DELSLOTSRANGE,
        &FAILOVER,
        &FLUSHSLOTS,
        &FORGET,
        &GETKEYSINSLOT,
        &HELP,
        &INFO,
        &KEYSLOT,
        &LINKS,
        &MEET,
        &MYID,
        &NODES,
        &REPLICAS,
        &REPLICATE,
        &RESET,
        &SAVECONFIG,
        &SET_CONFIG_EPOCH,
        &SETSLOT,
        &SHARDS,
        &SLAVES,
        &SLOTS,
    ],
    run: Run::Container,
    ..BASE
};

static ADDSLOTS: Command = Command {
    name: "addslots",
    summary: "Assign new hash slots to receiving node",
    since: "3.0.0",
    complexity: "O(N) where N is the total number of hash slot arguments",
    arity: -3,
    flags: CHANGING,
    arguments: &[Argument::integer("slot").multiple()],
    examples: r#"> CLUSTER ADDSLOTS 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static ADDSLOTSRANGE: Command = Command {
    name: "addslotsrange",
    summary: "Assign new hash slots to receiving node",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
    arity: -4,
    flags: CHANGING,
    arguments: &[Argument::block(
        "start-slot_end-slot",
        &[Argument::integer("start-slot"), Argument::integer("end-slot")],
    )
    .multiple()],
    examples: r#"> CLUSTER ADDSLOTSRANGE 1 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static BUMPEPOCH: Command = Command {
    name: "bumpepoch",
    summary: "Advance the cluster config epoch",
    since: "3.0.0",
    arity: 2,
    flags: CHANGING,
    tips: &["nondeterministic_output"],
    examples: r#"> CLUSTER BUMPEPOCH
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static COUNT_FAILURE_REPORTS: Command = Command {
    name: "count-failure-reports",
    summary: "Return the number of failure reports active for a given node",
    since: "3.0.0",
    complexity: "O(N) where N is the number of failure reports",
    arity: 3,
    flags: &[Flag::Admin, Flag::Stale],
    tips: &["nondeterministic_output"],
    arguments: &[Argument::string("node-id")],
    examples: r#"> CLUSTER COUNT-FAILURE-REPORTS 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static COUNTKEYSINSLOT: Command = Command {
    name: "countkeysinslot",
    summary: "Return the number of local keys in the specified hash slot",
    since: "3.0.0",
    arity: 3,
    flags: STALE,
    arguments: &[Argument::integer("slot")],
    examples: r#"> CLUSTER COUNTKEYSINSLOT 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static DELSLOTS: Command = Command {
    name: "delslots",
    summary: "Set hash slots as unbound in receiving node",
    since: "3.0.0",
    complexity: "O(N) where N is the total number of hash slot arguments",
    arity: -3,
    flags: CHANGING,
    arguments: &[Argument::integer("slot").multiple()],
    examples: r#"> CLUSTER DELSLOTS 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static DELSLOTSRANGE: Command = Command {
    name: "delslotsrange",
    summary: "Set hash slots as unbound in receiving node",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of the slots between the start slot and end slot arguments.",
    arity: -4,
    flags: CHANGING,
    arguments: &[Argument::block(
        "start-slot_end-slot",
        &[Argument::integer("start-slot"), Argument::integer("end-slot")],
    )
    .multiple()],
    examples: r#"> CLUSTER DELSLOTSRANGE 1 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static FAILOVER: Command = Command {
    name: "failover",
    summary: "Forces a replica to perform a manual failover of its master.",
    since: "3.0.0",
    arity: -2,
    flags: CHANGING,
    arguments: &[Argument::one_of(
        "options",
        &[Argument::flag("force", "FORCE"), Argument::flag("takeover", "TAKEOVER")],
    )
    .optional()],
    examples: r#"> CLUSTER FAILOVER
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static FLUSHSLOTS: Command = Command {
    name: "flushslots",
    summary: "Delete a node's own slots information",
    since: "3.0.0",
    arity: 2,
    flags: CHANGING,
    examples: r#"> CLUSTER FLUSHSLOTS
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static FORGET: Command = Command {
    name: "forget",
    summary: "Remove a node from the nodes table",
    since: "3.0.0",
    arity: 3,
    flags: CHANGING,
    arguments: &[Argument::string("node-id")],
    examples: r#"> CLUSTER FORGET 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static GETKEYSINSLOT: Command = Command {
    name: "getkeysinslot",
    summary: "Return local key names in the specified hash slot",
    since: "3.0.0",
    complexity: "O(log(N)) where N is the number of requested keys",
    arity: 4,
    flags: STALE,
    tips: &["nondeterministic_output"],
    arguments: &[Argument::integer("slot"), Argument::integer("count")],
    examples: r#"> CLUSTER GETKEYSINSLOT 1 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static HELP: Command = Command {
    name: "help",
    summary: "Show helpful text about the different subcommands",
    since: "5.0.0",
    arity: 2,
    flags: &[Flag::Loading, Flag::Stale],
    examples: r#"> CLUSTER HELP
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static INFO: Command = Command {
    name: "info",
    summary: "Provides info about Redis Cluster node state",
    since: "3.0.0",
    arity: 2,
    flags: STALE,
    tips: &["nondeterministic_output"],
    examples: r#"> CLUSTER INFO
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static KEYSLOT: Command = Command {
    name: "keyslot",
    summary: "Returns the hash slot of the specified key",
    since: "3.0.0",
    complexity: "O(N) where N is the number of bytes in the key",
    arity: 3,
    flags: STALE,
    arguments: &[Argument::string("key")],
    examples: r#"> CLUSTER KEYSLOT 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static LINKS: Command = Command {
    name: "links",
    summary: "Returns a list of all TCP links to and from peer nodes in cluster",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of Cluster nodes",
    arity: 2,
    flags: STALE,
    tips: &["nondeterministic_output"],
    examples: r#"> CLUSTER LINKS
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static MEET: Command = Command {
    name: "meet",
    summary: "Force a node cluster to handshake with another node",
    since: "3.0.0",
    arity: -4,
    flags: CHANGING,
    history: &[("4.0.0", "Added the optional `cluster_bus_port` argument.")],
    arguments: &[
        Argument::string("ip"),
        Argument::integer("port"),
        Argument::integer("cluster_bus_port").since("4.0.0").optional(),
    ],
    examples: r#"> CLUSTER MEET 1 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static MYID: Command = Command {
    name: "myid",
    summary: "Return the node id",
    since: "3.0.0",
    arity: 2,
    flags: STALE,
    examples: r#"> CLUSTER MYID
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static NODES: Command = Command {
    name: "nodes",
    summary: "Get Cluster config for the node",
    since: "3.0.0",
    complexity: "O(N) where N is the total number of Cluster nodes",
    arity: 2,
    flags: STALE,
    tips: &["nondeterministic_output"],
    examples: r#"> CLUSTER NODES
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static REPLICAS: Command = Command {
    name: "replicas",
    summary: "List replica nodes of the specified master node",
    since: "5.0.0",
    arity: 3,
    flags: &[Flag::Admin, Flag::Stale],
    tips: &["nondeterministic_output"],
    arguments: &[Argument::string("node-id")],
    examples: r#"> CLUSTER REPLICAS 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static REPLICATE: Command = Command {
    name: "replicate",
    summary: "Reconfigure a node as a replica of the specified master node",
    since: "3.0.0",
    arity: 3,
    flags: CHANGING,
    arguments: &[Argument::string("node-id")],
    examples: r#"> CLUSTER REPLICATE 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static RESET: Command = Command {
    name: "reset",
    summary: "Reset a Redis Cluster node",
    since: "3.0.0",
    complexity: "O(N) where N is the number of known nodes. The command may execute a FLUSHALL as a side effect.",
    arity: -2,
    flags: &[Flag::Admin, Flag::Noscript, Flag::Stale],
    arguments: &[
        Argument::one_of("hard_soft", &[Argument::flag("hard", "HARD"), Argument::flag("soft", "SOFT")]).optional()
    ],
    examples: r#"> CLUSTER RESET
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static SAVECONFIG: Command = Command {
    name: "saveconfig",
    summary: "Forces the node to save cluster state on disk",
    since: "3.0.0",
    arity: 2,
    flags: CHANGING,
    examples: r#"> CLUSTER SAVECONFIG
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static SET_CONFIG_EPOCH: Command = Command {
    name: "set-config-epoch",
    summary: "Set the configuration epoch in a new node",
    since: "3.0.0",
    arity: 3,
    flags: CHANGING,
    arguments: &[Argument::integer("config-epoch")],
    examples: r#"> CLUSTER SET-CONFIG-EPOCH 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static SETSLOT: Command = Command {
    name: "setslot",
    summary: "Bind a hash slot to a specific node",
    since: "3.0.0",
    arity: -4,
    flags: CHANGING,
    arguments: &[
        Argument::integer("slot"),
        Argument::one_of(
            "subcommand",
            &[
                Argument::string("node-id").token("IMPORTING"),
                Argument::string("node-id").token("MIGRATING"),
                Argument::string("node-id").token("NODE"),
                Argument::flag("stable", "STABLE"),
            ],
        ),
    ],
    examples: r#"> CLUSTER SETSLOT 1 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static SHARDS: Command = Command {
    name: "shards",
    summary: "Get array of cluster slots to node mappings",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of cluster nodes",
    arity: 2,
    flags: STALE,
    tips: &["nondeterministic_output"],
    examples: r#"> CLUSTER SHARDS
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static SLAVES: Command = Command {
    name: "slaves",
    summary: "List replica nodes of the specified master node",
    since: "3.0.0",
    arity: 3,
    flags: &[Flag::Admin, Flag::Stale],
    tips: &["nondeterministic_output"],
    deprecated: Some(("5.0.0", "`CLUSTER REPLICAS`")),
    arguments: &[Argument::string("node-id")],
    examples: r#"> CLUSTER SLAVES 1
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

static SLOTS: Command = Command {
    name: "slots",
    summary: "Get array of Cluster slot to node mappings",
    since: "3.0.0",
    complexity: "O(N) where N is the total number of Cluster nodes",
    arity: 2,
    flags: STALE,
    tips: &["nondeterministic_output"],
    deprecated: Some(("7.0.0", "`CLUSTER SHARDS`")),
    history: &[("4.0.0", "Added node IDs."), ("7.0.0", "Added additional networking metadata field.")],
    examples: r#"> CLUSTER SLOTS
(error) ERR This instance has cluster support disabled"#,
    ..BASE
};

#[cfg(test)]
mod tests {
    use crate::commands::network_tests::TestClient;

    #[test]
    fn there_is_no_cluster() {
        const NONE: &str = "(error) ERR This instance has cluster support disabled";
        TestClient::new().check(&[
            ("cluster info", NONE),
            ("cluster nodes", NONE),
            ("asking", NONE),
            ("readonly", NONE),
            ("readwrite", NONE),
            ("cluster", "(error) ERR wrong number of arguments for 'cluster' command"),
        ]);
    }
}
