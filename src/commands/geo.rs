//! The geo commands: sorted sets whose scores are places. Their arithmetic is in [`crate::types::geo`].

use bytes::Bytes;

use super::parse::Args;
use super::{Argument, BeginSearch, Command, CommandError, FindKeys, Flag, Group, KeySpec, Operation, Run};
use crate::keyspace::{Keyspace, Type};
use crate::limits;
use crate::number::{self, LongDouble};
use crate::resp::{CommandArgs, ReplyBuffer};
use crate::types::elements::Elements;
use crate::types::geo::{Found, Order, Place, Search, Shape};
use crate::types::sorted_set::{self, AddOptions, Scored};

type Result<T> = std::result::Result<T, CommandError>;

const BASE: Command = Command { group: Group::Geo, categories: &["@geo"], ..Command::BASE };

/// The rows of this family.
pub static COMMANDS: &[&Command] = &[
    &GEOADD,
    &GEODIST,
    &GEOHASH,
    &GEOPOS,
    &GEORADIUS,
    &GEORADIUSBYMEMBER,
    &GEORADIUSBYMEMBER_RO,
    &GEORADIUS_RO,
    &GEOSEARCH,
    &GEOSEARCHSTORE,
];

fn parse_place(args: &mut Args<'_>) -> Result<Place> {
    let place = Place { longitude: args.next_f64()?, latitude: args.next_f64()? };
    if !place.is_valid() {
        let Place { longitude, latitude } = place;
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(CommandError::custom(text));
    }
    Ok(place)
}

/// A unit of length, in metres.
fn parse_unit(text: &[u8]) -> Result<f64> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let unit = UNITS.iter().find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()));
    unit.map(|(_, metres)| *metres)
        .ok_or_else(|| CommandError::custom("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

fn parse_length(text: &[u8], error: &'static str) -> Result<f64> {
    number::parse_f64(text).ok_or_else(|| CommandError::custom(error))
}

/// Replies a length as Redis does: with four decimals.
fn reply_distance(reply: &mut ReplyBuffer, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

fn reply_place(reply: &mut ReplyBuffer, place: &Place) {
    reply.array(2);
    for coordinate in [place.longitude, place.latitude] {
        reply.double_text(&LongDouble::from_f64(coordinate).format());
    }
}

pub(super) static GEOADD: Command = Command {
    name: "geoadd",
    summary: "Add one or more geospatial items in the geospatial index represented using a sorted set",
    since: "3.2.0",
    complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    arity: -5,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["RW", "update"])],
    history: &[("6.2.0", "Added the `CH`, `NX` and `XX` options.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::one_of("condition", &[Argument::flag("nx", "NX"), Argument::flag("xx", "XX")])
            .since("6.2.0")
            .optional(),
        Argument::flag("change", "CH").since("6.2.0").optional(),
        Argument::block(
            "longitude_latitude_member",
            &[Argument::double("longitude"), Argument::double("latitude"), Argument::string("member")],
        )
        .multiple(),
    ],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEODIST Sicily Palermo Catania
"166274.1516"
> GEOADD Sicily XX CH 13.361389 38.115556 Catania
(integer) 1"#,
    run: Run::Storage(Add::parse),
    ..BASE
};

#[derive(Debug)]
struct Add {
    key: Bytes,
    members: Vec<Scored>,
    options: AddOptions,
    count_updated: bool,
}

impl Add {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let key = args.next_bytes()?;
        let (mut options, mut count_updated) = (AddOptions::default(), false);
        loop {
            let flag = match () {
                () if args.take_word("NX") => &mut options.only_new,
                () if args.take_word("XX") => &mut options.only_existing,
                () if args.take_word("CH") => &mut count_updated,
                () => break,
            };
            *flag = true;
        }
        let incomplete = args.is_done() || !args.remaining().is_multiple_of(3);
        if incomplete || options.only_new && options.only_existing {
            return Err(CommandError::Syntax);
        }
        let mut members = Vec::with_capacity(args.remaining() / 3);
        while !args.is_done() {
            let place = parse_place(&mut args)?;
            members.push((args.next_bytes()?, place.score()));
        }
        Ok(Box::new(Add { key, members, options, count_updated }))
    }
}

impl Operation for Add {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let added = sorted_set::add(keyspace, &self.key, &self.members, self.options)?;
        reply.integer((added.new + if self.count_updated { added.updated } else { 0 }) as i64);
        Ok(())
    }
}

pub(super) static GEODIST: Command = Command {
    name: "geodist",
    summary: "Returns the distance between two members of a geospatial index",
    since: "3.2.0",
    complexity: "O(log(N))",
    arity: -4,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("member1"),
        Argument::string("member2"),
        Argument::one_of(
            "unit",
            &[
                Argument::flag("m", "M"),
                Argument::flag("km", "KM"),
                Argument::flag("ft", "FT"),
                Argument::flag("mi", "MI"),
            ],
        )
        .optional(),
    ],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEODIST Sicily Palermo Catania km
"166.2742"
> GEODIST Sicily Palermo Nowhere
(nil)"#,
    run: Run::Storage(Distance::parse),
    ..BASE
};

#[derive(Debug)]
struct Distance {
    key: Bytes,
    members: [Bytes; 2],
    unit: f64,
}

impl Distance {
    fn parse(args: &CommandArgs) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        let (key, members) = (args.next_bytes()?, [args.next_bytes()?, args.next_bytes()?]);
        let unit = match args.remaining() {
            0 => 1.0,
            1 => parse_unit(args.next()?)?,
            _ => return Err(CommandError::Syntax),
        };
        Ok(Box::new(Distance { key, members, unit }))
    }
}

impl Operation for Distance {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let mut places = [None, None];
        if let Some(zset) = Elements::read(keyspace, &self.key, Type::SortedSet)? {
            for (place, member) in places.iter_mut().zip(&self.members) {
                *place = sorted_set::score_of(keyspace, &zset, member)?.map(Place::of_score);
            }
        }
        match places {
            [Some(from), Some(to)] => reply_distance(reply, from.distance(&to) / self.unit),
            _ => reply.null(),
        }
        Ok(())
    }
}

pub(super) static GEOHASH: Command = Command {
    name: "geohash",
    summary: "Returns members of a geospatial index as standard geohash strings",
    since: "3.2.0",
    complexity: "O(log(N)) for each member requested, where N is the number of elements in the sorted set.",
    arity: -2,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEOHASH Sicily Palermo Nowhere
1) "sqc8b49rny0"
2) (nil)"#,
    run: Run::Storage(|args| Places::parse(args, reply_hash)),
    ..BASE
};

pub(super) static GEOPOS: Command = Command {
    name: "geopos",
    summary: "Returns longitude and latitude of members of a geospatial index",
    since: "3.2.0",
    complexity: "O(N) where N is the number of members requested.",
    arity: -2,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    arguments: &[Argument::key("key", 0), Argument::string("member").multiple()],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEOPOS Sicily Palermo Nowhere
1) 1) "13.36138933897018433"
   2) "38.11555639549629859"
2) (nil)"#,
    run: Run::Storage(|args| Places::parse(args, reply_position)),
    ..BASE
};

/// GEOHASH and GEOPOS, which reply something about the place of each member.
#[derive(Debug)]
struct Places {
    key: Bytes,
    members: Vec<Bytes>,
    answer: fn(Option<Place>, &mut ReplyBuffer),
}

impl Places {
    fn parse(args: &CommandArgs, answer: fn(Option<Place>, &mut ReplyBuffer)) -> Result<Box<dyn Operation>> {
        let mut args = Args::new(args);
        Ok(Box::new(Places { key: args.next_bytes()?, members: args.rest(), answer }))
    }
}

impl Operation for Places {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let zset = Elements::read(keyspace, &self.key, Type::SortedSet)?;
        reply.array(self.members.len());
        for member in &self.members {
            let score = match &zset {
                Some(zset) => sorted_set::score_of(keyspace, zset, member)?,
                None => None,
            };
            (self.answer)(score.map(Place::of_score), reply);
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        self.members.len() as u64 > limits::SHORT_WALK_ELEMENTS
    }
}

fn reply_hash(place: Option<Place>, reply: &mut ReplyBuffer) {
    match place {
        Some(place) => reply.bulk(&place.geohash()),
        None => reply.null(),
    }
}

fn reply_position(place: Option<Place>, reply: &mut ReplyBuffer) {
    match place {
        Some(place) => reply_place(reply, &place),
        None => reply.null_array(),
    }
}

pub(super) static GEOSEARCH: Command = Command {
    name: "geosearch",
    summary: "Query a sorted set representing a geospatial index to fetch members inside an area of a box or a circle.",
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
    arity: -7,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    history: &[("7.0.0", "Added support for uppercase unit names.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::one_of(
            "from",
            &[
                Argument::string("member").token("FROMMEMBER"),
                Argument::block("longitude_latitude", &[Argument::double("longitude"), Argument::double("latitude")])
                    .token("FROMLONLAT"),
            ],
        ),
        Argument::one_of(
            "by",
            &[
                Argument::block(
                    "circle",
                    &[
                        Argument::double("radius").token("BYRADIUS"),
                        Argument::one_of(
                            "unit",
                            &[
                                Argument::flag("m", "M"),
                                Argument::flag("km", "KM"),
                                Argument::flag("ft", "FT"),
                                Argument::flag("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                Argument::block(
                    "box",
                    &[
                        Argument::double("width").token("BYBOX"),
                        Argument::double("height"),
                        Argument::one_of(
                            "unit",
                            &[
                                Argument::flag("m", "M"),
                                Argument::flag("km", "KM"),
                                Argument::flag("ft", "FT"),
                                Argument::flag("mi", "MI"),
                            ],
                        ),
                    ],
                ),
            ],
        ),
        Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
        Argument::block("count", &[Argument::integer("count").token("COUNT"), Argument::flag("any", "ANY").optional()])
            .optional(),
        Argument::flag("withcoord", "WITHCOORD").optional(),
        Argument::flag("withdist", "WITHDIST").optional(),
        Argument::flag("withhash", "WITHHASH").optional(),
    ],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1
(integer) 3
> GEOSEARCH Sicily FROMLONLAT 15 37 BYRADIUS 200 km ASC
1) "Catania"
2) "Palermo"
> GEOSEARCH Sicily FROMMEMBER Catania BYBOX 400 400 km DESC COUNT 2 WITHDIST
1) 1) "Palermo"
   2) "166.2742"
2) 1) "Catania"
   2) "0.0000""#,
    run: Run::Storage(|args| SearchQuery::parse(args, Form::Search)),
    ..BASE
};

pub(super) static GEOSEARCHSTORE: Command = Command {
    name: "geosearchstore",
    summary: "Query a sorted set representing a geospatial index to fetch members inside an area of a box or a circle, and store the result in another key.",
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
    arity: -8,
    flags: &[Flag::Write, Flag::Denyoom],
    keys: &[KeySpec::one(1, &["OW", "update"]), KeySpec::one(2, &["RO", "access"])],
    history: &[("7.0.0", "Added support for uppercase unit names.")],
    arguments: &[
        Argument::key("destination", 0),
        Argument::key("source", 1),
        Argument::one_of(
            "from",
            &[
                Argument::string("member").token("FROMMEMBER"),
                Argument::block("longitude_latitude", &[Argument::double("longitude"), Argument::double("latitude")])
                    .token("FROMLONLAT"),
            ],
        ),
        Argument::one_of(
            "by",
            &[
                Argument::block(
                    "circle",
                    &[
                        Argument::double("radius").token("BYRADIUS"),
                        Argument::one_of(
                            "unit",
                            &[
                                Argument::flag("m", "M"),
                                Argument::flag("km", "KM"),
                                Argument::flag("ft", "FT"),
                                Argument::flag("mi", "MI"),
                            ],
                        ),
                    ],
                ),
                Argument::block(
                    "box",
                    &[
                        Argument::double("width").token("BYBOX"),
                        Argument::double("height"),
                        Argument::one_of(
                            "unit",
                            &[
                                Argument::flag("m", "M"),
                                Argument::flag("km", "KM"),
                                Argument::flag("ft", "FT"),
                                Argument::flag("mi", "MI"),
                            ],
                        ),
                    ],
                ),
            ],
        ),
        Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
        Argument::block("count", &[Argument::integer("count").token("COUNT"), Argument::flag("any", "ANY").optional()])
            .optional(),
        Argument::flag("storedist", "STOREDIST").optional(),
    ],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEOSEARCHSTORE key1 Sicily FROMLONLAT 15 37 BYBOX 400 400 km ASC COUNT 3
(integer) 2
> GEOSEARCH key1 FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHHASH
1) 1) "Catania"
   2) (integer) 3479447370796909
2) 1) "Palermo"
   2) (integer) 3479099956230698"#,
    run: Run::Storage(|args| SearchQuery::parse(args, Form::SearchStore)),
    ..BASE
};

pub(super) static GEORADIUS: Command = Command {
    name: "georadius",
    summary: "Query a sorted set representing a geospatial index to fetch members matching a given maximum distance from a point",
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    arity: -6,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[
        KeySpec::one(1, &["RO", "access"]),
        KeySpec {
            flags: &["OW", "update"],
            begin: BeginSearch::Keyword { keyword: "STORE", start_from: 6 },
            find: FindKeys::Range { last: 0, step: 1, limit: 0 },
            notes: "",
        },
        KeySpec {
            flags: &["OW", "update"],
            begin: BeginSearch::Keyword { keyword: "STOREDIST", start_from: 6 },
            find: FindKeys::Range { last: 0, step: 1, limit: 0 },
            notes: "",
        },
    ],
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
    history: &[("6.2.0", "Added the `ANY` option for `COUNT`."), ("7.0.0", "Added support for uppercase unit names.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::double("longitude"),
        Argument::double("latitude"),
        Argument::double("radius"),
        Argument::one_of(
            "unit",
            &[
                Argument::flag("m", "M"),
                Argument::flag("km", "KM"),
                Argument::flag("ft", "FT"),
                Argument::flag("mi", "MI"),
            ],
        ),
        Argument::flag("withcoord", "WITHCOORD").optional(),
        Argument::flag("withdist", "WITHDIST").optional(),
        Argument::flag("withhash", "WITHHASH").optional(),
        Argument::block(
            "count",
            &[Argument::integer("count").token("COUNT"), Argument::flag("any", "ANY").since("6.2.0").optional()],
        )
        .optional(),
        Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
        Argument::key("key", 1).token("STORE").optional(),
        Argument::key("key", 2).token("STOREDIST").optional(),
    ],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEORADIUS Sicily 15 37 200 km WITHDIST ASC
1) 1) "Catania"
   2) "56.4413"
2) 1) "Palermo"
   2) "190.4424"
> GEORADIUS Sicily 15 37 100 km STORE near
(integer) 1"#,
    run: Run::Storage(|args| SearchQuery::parse(args, Form::Radius)),
    ..BASE
};

pub(super) static GEORADIUS_RO: Command = Command {
    name: "georadius_ro",
    summary: "A read-only variant for GEORADIUS",
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    arity: -6,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
    history: &[("6.2.0", "Added the `ANY` option for `COUNT`.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::double("longitude"),
        Argument::double("latitude"),
        Argument::double("radius"),
        Argument::one_of(
            "unit",
            &[
                Argument::flag("m", "M"),
                Argument::flag("km", "KM"),
                Argument::flag("ft", "FT"),
                Argument::flag("mi", "MI"),
            ],
        ),
        Argument::flag("withcoord", "WITHCOORD").optional(),
        Argument::flag("withdist", "WITHDIST").optional(),
        Argument::flag("withhash", "WITHHASH").optional(),
        Argument::block(
            "count",
            &[Argument::integer("count").token("COUNT"), Argument::flag("any", "ANY").since("6.2.0").optional()],
        )
        .optional(),
        Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
    ],
    examples: r#"> GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 2
> GEORADIUS_RO Sicily 15 37 200 km WITHCOORD DESC
1) 1) "Palermo"
   2) 1) "13.36138933897018433"
      2) "38.11555639549629859"
2) 1) "Catania"
   2) 1) "15.08726745843887329"
      2) "37.50266842333162032""#,
    run: Run::Storage(|args| SearchQuery::parse(args, Form::RadiusReadOnly)),
    ..BASE
};

pub(super) static GEORADIUSBYMEMBER: Command = Command {
    name: "georadiusbymember",
    summary: "Query a sorted set representing a geospatial index to fetch members matching a given maximum distance from a member",
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    arity: -5,
    flags: &[Flag::Write, Flag::Denyoom, Flag::Movablekeys],
    keys: &[
        KeySpec::one(1, &["RO", "access"]),
        KeySpec {
            flags: &["OW", "update"],
            begin: BeginSearch::Keyword { keyword: "STORE", start_from: 5 },
            find: FindKeys::Range { last: 0, step: 1, limit: 0 },
            notes: "",
        },
        KeySpec {
            flags: &["OW", "update"],
            begin: BeginSearch::Keyword { keyword: "STOREDIST", start_from: 5 },
            find: FindKeys::Range { last: 0, step: 1, limit: 0 },
            notes: "",
        },
    ],
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    history: &[("7.0.0", "Added support for uppercase unit names.")],
    arguments: &[
        Argument::key("key", 0),
        Argument::string("member"),
        Argument::double("radius"),
        Argument::one_of(
            "unit",
            &[
                Argument::flag("m", "M"),
                Argument::flag("km", "KM"),
                Argument::flag("ft", "FT"),
                Argument::flag("mi", "MI"),
            ],
        ),
        Argument::flag("withcoord", "WITHCOORD").optional(),
        Argument::flag("withdist", "WITHDIST").optional(),
        Argument::flag("withhash", "WITHHASH").optional(),
        Argument::block("count", &[Argument::integer("count").token("COUNT"), Argument::flag("any", "ANY").optional()])
            .optional(),
        Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
        Argument::key("key", 1).token("STORE").optional(),
        Argument::key("key", 2).token("STOREDIST").optional(),
    ],
    examples: r#"> GEOADD Sicily 13.583333 37.316667 Agrigento 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 3
> GEORADIUSBYMEMBER Sicily Agrigento 100 km ASC
1) "Agrigento"
2) "Palermo""#,
    run: Run::Storage(|args| SearchQuery::parse(args, Form::RadiusByMember)),
    ..BASE
};

pub(super) static GEORADIUSBYMEMBER_RO: Command = Command {
    name: "georadiusbymember_ro",
    summary: "A read-only variant for GEORADIUSBYMEMBER",
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    arity: -5,
    flags: &[Flag::Readonly],
    keys: &[KeySpec::one(1, &["RO", "access"])],
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    arguments: &[
        Argument::key("key", 0),
        Argument::string("member"),
        Argument::double("radius"),
        Argument::one_of(
            "unit",
            &[
                Argument::flag("m", "M"),
                Argument::flag("km", "KM"),
                Argument::flag("ft", "FT"),
                Argument::flag("mi", "MI"),
            ],
        ),
        Argument::flag("withcoord", "WITHCOORD").optional(),
        Argument::flag("withdist", "WITHDIST").optional(),
        Argument::flag("withhash", "WITHHASH").optional(),
        Argument::block("count", &[Argument::integer("count").token("COUNT"), Argument::flag("any", "ANY").optional()])
            .optional(),
        Argument::one_of("order", &[Argument::flag("asc", "ASC"), Argument::flag("desc", "DESC")]).optional(),
    ],
    examples: r#"> GEOADD Sicily 13.583333 37.316667 Agrigento 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
(integer) 3
> GEORADIUSBYMEMBER_RO Sicily Agrigento 100 km ASC COUNT 1
1) "Agrigento""#,
    run: Run::Storage(|args| SearchQuery::parse(args, Form::RadiusByMemberReadOnly)),
    ..BASE
};

/// Which of the searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Search,
    SearchStore,
    Radius,
    RadiusReadOnly,
    RadiusByMember,
    RadiusByMemberReadOnly,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    /// Whether STORE and STOREDIST name where to put the result.
    fn may_store(self) -> bool {
        matches!(self, Form::Radius | Form::RadiusByMember)
    }
}

/// A search. Which of several errors its client is told of depends on whether the key and the member are there, so its
/// arguments are read when it runs.
#[derive(Debug)]
struct SearchQuery {
    args: CommandArgs,
    form: Form,
}

/// The arguments of a search.
#[derive(Debug, Default)]
struct Query {
    center: Option<Place>,
    /// FROMMEMBER of a key that is not there.
    member_given: bool,
    shape: Option<Shape>,
    unit: f64,
    order: Option<Order>,
    count: u64,
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    destination: Option<Bytes>,
    store_distance: bool,
}

impl SearchQuery {
    fn parse(args: &CommandArgs, form: Form) -> Result<Box<dyn Operation>> {
        Ok(Box::new(SearchQuery { args: args.clone(), form }))
    }

    fn read(&self, keyspace: &mut Keyspace<'_>, zset: Option<&Elements>) -> Result<Query> {
        let mut args = Args::new(&self.args);
        let mut query = Query { unit: 1.0, ..Query::default() };
        match self.form {
            Form::Search => drop(args.next()?),
            Form::SearchStore => {
                query.destination = Some(args.next_bytes()?);
                args.next()?;
            }
            Form::Radius | Form::RadiusReadOnly => {
                args.next()?;
                query.center = Some(parse_place(&mut args)?);
                query.read_circle(&mut args)?;
            }
            Form::RadiusByMember | Form::RadiusByMemberReadOnly => {
                args.next()?;
                let member = args.next()?;
                match zset {
                    Some(zset) => {
                        query.center = Some(place_of(keyspace, zset, member)?);
                        query.read_circle(&mut args)?;
                    }
                    // Nobody looks at the radius, then.
                    None => {
                        args.next()?;
                        args.next()?;
                    }
                }
            }
        }
        while !args.is_done() {
            self.read_option(keyspace, zset, &mut args, &mut query)?;
        }
        self.check(&query)?;
        Ok(query)
    }

    fn read_option(
        &self,
        keyspace: &mut Keyspace<'_>,
        zset: Option<&Elements>,
        args: &mut Args<'_>,
        query: &mut Query,
    ) -> Result<()> {
        let (left, form) = (args.remaining() - 1, self.form);
        let from_place = query.center.is_some() && !query.member_given;
        if args.take_word("WITHDIST") {
            query.with_distance = true;
        } else if args.take_word("WITHHASH") {
            query.with_hash = true;
        } else if args.take_word("WITHCOORD") {
            query.with_place = true;
        } else if args.take_word("ANY") {
            query.any = true;
        } else if args.take_word("ASC") {
            query.order = Some(Order::NearestFirst);
        } else if args.take_word("DESC") {
            query.order = Some(Order::FarthestFirst);
        } else if left > 0 && args.take_word("COUNT") {
            let count = u64::try_from(args.next_i64()?).ok().filter(|count| *count > 0);
            query.count = count.ok_or_else(|| CommandError::custom("ERR COUNT must be > 0"))?;
        } else if form.may_store() && left > 0 && args.take_word("STORE") {
            (query.destination, query.store_distance) = (Some(args.next_bytes()?), false);
        } else if form.may_store() && left > 0 && args.take_word("STOREDIST") {
            (query.destination, query.store_distance) = (Some(args.next_bytes()?), true);
        } else if form.is_search() && left > 0 && !from_place && args.take_word("FROMMEMBER") {
            let member = args.next()?;
            if let Some(zset) = zset {
                query.center = Some(place_of(keyspace, zset, member)?);
            }
            query.member_given = true;
        } else if form.is_search() && left > 1 && !query.member_given && args.take_word("FROMLONLAT") {
            query.center = Some(parse_place(args)?);
        } else if form.is_search() && left > 1 && !query.has_box() && args.take_word("BYRADIUS") {
            query.read_circle(args)?;
        } else if form.is_search() && left > 2 && !query.has_circle() && args.take_word("BYBOX") {
            query.read_box(args)?;
        } else if form == Form::SearchStore && args.take_word("STOREDIST") {
            query.store_distance = true;
        } else {
            return Err(CommandError::Syntax);
        }
        Ok(())
    }

    /// What all arguments together must be.
    fn check(&self, query: &Query) -> Result<()> {
        if query.destination.is_some() && (query.with_distance || query.with_hash || query.with_place) {
            let what = if self.form == Form::SearchStore { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(CommandError::custom(text));
        }
        let missing = |what: &[u8]| {
            CommandError::echo(&[b"ERR exactly one of ", what, b" can be specified for ", name(&self.args)])
        };
        if self.form.is_search() && query.center.is_none() && !query.member_given {
            return Err(missing(b"FROMMEMBER or FROMLONLAT"));
        }
        if self.form.is_search() && query.shape.is_none() {
            return Err(missing(b"BYRADIUS and BYBOX"));
        }
        if query.any && query.count == 0 {
            return Err(CommandError::custom("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }
}

/// The command's name as it was called, as far as a C string goes.
fn name(args: &CommandArgs) -> &[u8] {
    super::echoed(args.name())
}

fn place_of(keyspace: &mut Keyspace<'_>, zset: &Elements, member: &[u8]) -> Result<Place> {
    let score = sorted_set::score_of(keyspace, zset, member)?;
    score.map(Place::of_score).ok_or_else(|| CommandError::custom("ERR could not decode requested zset member"))
}

impl Query {
    fn has_box(&self) -> bool {
        matches!(self.shape, Some(Shape::Box { .. }))
    }

    fn has_circle(&self) -> bool {
        matches!(self.shape, Some(Shape::Circle { .. }))
    }

    fn read_circle(&mut self, args: &mut Args<'_>) -> Result<()> {
        let radius = parse_length(args.next()?, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(CommandError::custom("ERR radius cannot be negative"));
        }
        self.unit = parse_unit(args.next()?)?;
        self.shape = Some(Shape::Circle { radius: radius * self.unit });
        Ok(())
    }

    fn read_box(&mut self, args: &mut Args<'_>) -> Result<()> {
        let width = parse_length(args.next()?, "ERR need numeric width")?;
        let height = parse_length(args.next()?, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(CommandError::custom("ERR height or width cannot be negative"));
        }
        self.unit = parse_unit(args.next()?)?;
        self.shape = Some(Shape::Box { width: width * self.unit, height: height * self.unit });
        Ok(())
    }

    fn reply(&self, found: &[Found], reply: &mut ReplyBuffer) {
        reply.array(found.len());
        let parts = [self.with_distance, self.with_hash, self.with_place].iter().filter(|with| **with).count();
        for found in found {
            if parts > 0 {
                reply.array(1 + parts);
            }
            reply.bulk(&found.member);
            if self.with_distance {
                reply_distance(reply, found.distance / self.unit);
            }
            if self.with_hash {
                reply.integer(found.score as i64);
            }
            if self.with_place {
                reply_place(reply, &found.place);
            }
        }
    }
}

impl Operation for SearchQuery {
    fn run(&self, keyspace: &mut Keyspace<'_>, reply: &mut ReplyBuffer) -> Result<()> {
        let source = if self.form == Form::SearchStore { 2 } else { 1 };
        let key = self.args.get(source).ok_or(CommandError::Syntax)?;
        let zset = Elements::read(keyspace, key, Type::SortedSet)?;
        let query = self.read(keyspace, zset.as_ref())?;
        let found = match (zset, query.center, query.shape) {
            (Some(zset), Some(center), Some(shape)) => {
                let Query { order, count, any, .. } = query;
                Search { center, shape, order, count, any }.run(keyspace, &zset)?
            }
            _ => Vec::new(),
        };
        let Some(destination) = &query.destination else {
            query.reply(&found, reply);
            return Ok(());
        };
        let scored = |found: &Found| {
            let score = if query.store_distance { found.distance / query.unit } else { found.score };
            (found.member.clone(), score)
        };
        let members: Vec<Scored> = found.iter().map(scored).collect();
        let event = if self.form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
        reply.integer(sorted_set::store(keyspace, destination, &members, event)? as i64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::tests::{Harness, check, check_examples};

    #[test]
    fn examples_run_as_they_are_written() {
        check_examples(super::COMMANDS);
    }

    #[test]
    fn what_is_told_depends_on_what_is_there() {
        check(
            r#"
            > GEOADD k 181 0 m
            (error) ERR invalid longitude,latitude pair 181.000000,0.000000
            > GEORADIUSBYMEMBER nothing m nonsense km
            (empty array)
            > GEOADD k 0 0 m
            (integer) 1
            > GEORADIUSBYMEMBER k m nonsense km
            (error) ERR need numeric radius
            > GEORADIUSBYMEMBER k n nonsense km
            (error) ERR could not decode requested zset member
            > GEOSEARCH k FROMMEMBER n BYRADIUS 1 parsec
            (error) ERR could not decode requested zset member
            > GEOSEARCH nothing FROMMEMBER n BYRADIUS 1 parsec
            (error) ERR unsupported unit provided. please use M, KM, FT, MI
            > GEOSEARCH k ASC ASC ASC ASC ASC ASC
            (error) ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH
            > GeoSearch k FROMLONLAT 0 0 ASC ASC
            (error) ERR exactly one of BYRADIUS and BYBOX can be specified for GeoSearch
            > GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 1 m ANY
            (error) ERR the ANY argument requires COUNT argument
            > GEORADIUS k 0 0 1 m STORE d WITHDIST
            (error) ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options
            > GEORADIUS k 0 0 1 m COUNT 0
            (error) ERR COUNT must be > 0
            > GEORADIUS k 0 0 -1 m
            (error) ERR radius cannot be negative
            > GEORADIUS_RO k 0 0 1 m STORE d
            (error) ERR syntax error
            "#,
        );
    }

    #[test]
    fn a_large_set_of_places_is_searched_as_a_small_one() {
        let mut harness = Harness::new();
        for at in 0..300 {
            // A line to the east: a degree is about 111 kilometres.
            harness.run(&format!("GEOADD k {} 0 m{at}", f64::from(at) / 100.0));
        }
        harness.check(
            r#"
            > GEOSEARCH k FROMLONLAT 1 0 BYRADIUS 2.5 km ASC
            1) "m100"
            2) "m101"
            3) "m99"
            4) "m102"
            5) "m98"
            > GEOSEARCHSTORE d k FROMMEMBER m0 BYBOX 4 4 km STOREDIST
            (integer) 2
            > GEOSEARCH k FROMLONLAT 1 0 BYRADIUS 5000 km COUNT 2 DESC
            1) "m299"
            2) "m298"
            "#,
        );
    }
}
