//! Places on earth as scores of a sorted set: longitude and latitude, 26 bits each, interleaved, so that places in one
//! area have scores in few ranges. Every step is Redis' own arithmetic: what is replied depends on the last bit of it.
//!
//! It must never find a place by looking at all of them.

use std::cmp::Ordering;
use std::f64::consts::PI;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::elements::{Elements, Result};
use super::partial_sort::partial_sort;
use super::sorted_set::{Range, ScoreRange, Window};
use crate::keyspace::Keyspace;

/// Redis' limits of Web Mercator.
const LATITUDE: Extent = Extent { min: -85.05112878, max: 85.05112878 };
const LONGITUDE: Extent = Extent { min: -180.0, max: 180.0 };
/// Those of an ordinary geohash.
const WHOLE_LATITUDE: Extent = Extent { min: -90.0, max: 90.0 };
/// Bits of each coordinate.
const STEPS_MAX: u32 = 26;
const EARTH_RADIUS_M: f64 = 6_372_797.560856;
const MERCATOR_MAX: f64 = 20_037_726.37;
/// The bits of latitudes; those of longitudes are the others.
const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
const LONGITUDE_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

#[derive(Clone, Copy)]
struct Extent {
    min: f64,
    max: f64,
}

impl Extent {
    fn contains(&self, value: f64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.min) / (self.max - self.min)
    }

    /// The part numbered `index` of 2^`steps` equal ones.
    fn part(&self, index: u32, steps: u32) -> Extent {
        let bound = |index: f64| self.min + (index * 1.0 / (1u64 << steps) as f64) * (self.max - self.min);
        Extent { min: bound(f64::from(index)), max: bound(f64::from(index) + 1.0) }
    }

    fn middle(&self) -> f64 {
        (self.min + self.max) / 2.0
    }
}

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

impl Place {
    /// Whether there can be one.
    pub fn is_valid(&self) -> bool {
        LONGITUDE.contains(self.longitude) && LATITUDE.contains(self.latitude)
    }

    /// The score under which GEOADD stores it.
    pub fn score(&self) -> f64 {
        Cell::of(*self, LATITUDE, STEPS_MAX).bits as f64
    }

    /// The place that a score stands for, whatever put it there.
    pub fn of_score(score: f64) -> Place {
        let area = Cell { bits: to_u64(score), steps: STEPS_MAX }.area();
        Place {
            longitude: area.longitude.middle().clamp(LONGITUDE.min, LONGITUDE.max),
            latitude: area.latitude.middle().clamp(LATITUDE.min, LATITUDE.max),
        }
    }

    /// The ordinary geohash, of eleven characters. The last one would take more bits than there are.
    pub fn geohash(&self) -> [u8; 11] {
        let bits = Cell::of(*self, WHOLE_LATITUDE, STEPS_MAX).bits;
        let mut text = [ALPHABET[0]; 11];
        for (at, char) in text[..10].iter_mut().enumerate() {
            *char = ALPHABET[(bits >> (52 - (at + 1) * 5)) as usize & 0x1f];
        }
        text
    }

    /// Metres along the great circle.
    pub fn distance(&self, other: &Place) -> f64 {
        let (latitude_1, longitude_1) = (radians(self.latitude), radians(self.longitude));
        let (latitude_2, longitude_2) = (radians(other.latitude), radians(other.longitude));
        let u = ((latitude_2 - latitude_1) / 2.0).sin();
        let v = ((longitude_2 - longitude_1) / 2.0).sin();
        2.0 * EARTH_RADIUS_M * (u * u + latitude_1.cos() * latitude_2.cos() * v * v).sqrt().asin()
    }
}

fn radians(degrees: f64) -> f64 {
    degrees * (PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (PI / 180.0)
}

/// What x86-64 makes of a double that C casts to an unsigned integer: scores that are no places lead somewhere too.
fn to_u64(score: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    let signed = |value: f64| if (-HALF..HALF).contains(&value) { value as i64 } else { i64::MIN };
    if score < HALF { signed(score) as u64 } else { signed(score - HALF) as u64 ^ 1 << 63 }
}

/// A cell of the grid that halves the earth `steps` times each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    bits: u64,
    steps: u32,
}

struct Area {
    longitude: Extent,
    latitude: Extent,
}

impl Cell {
    /// The cell of a place; one that lies outside has the first.
    fn of(place: Place, latitude: Extent, steps: u32) -> Cell {
        if !LONGITUDE.contains(place.longitude) || !latitude.contains(place.latitude) {
            return Cell { bits: 0, steps };
        }
        let index = |share: f64| (share * (1u64 << steps) as f64) as u32;
        let bits = spread(index(latitude.share(place.latitude))) | spread(index(LONGITUDE.share(place.longitude))) << 1;
        Cell { bits, steps }
    }

    fn area(&self) -> Area {
        Area {
            longitude: LONGITUDE.part(gather(self.bits >> 1), self.steps),
            latitude: LATITUDE.part(gather(self.bits), self.steps),
        }
    }

    /// The cell next to it: so many to the east, and so many to the north; round the earth.
    fn beside(&self, east: i64, north: i64) -> Cell {
        let mask = u64::MAX >> (64 - self.steps * 2);
        let step = |own: u64, others: u64, by: i64| {
            let (bits, others) = (self.bits & own, others & mask);
            // The other coordinate's bits are full, so that a carry passes over them. A place at the very end of the
            // earth is in a cell behind the last one, and stays there unless it moves.
            match by {
                1 => bits.wrapping_add(others + 1) & own & mask,
                -1 => (bits | others).wrapping_sub(others + 1) & own & mask,
                _ => bits,
            }
        };
        let longitude = step(LONGITUDE_BITS, LATITUDE_BITS, east);
        let latitude = step(LATITUDE_BITS, LONGITUDE_BITS, north);
        Cell { bits: longitude | latitude, steps: self.steps }
    }

    /// The scores of the places in it.
    fn scores(&self) -> ScoreRange {
        let shift = 52 - self.steps * 2;
        let (min, max) = ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64);
        ScoreRange { min, min_exclusive: false, max, max_exclusive: true }
    }
}

/// Puts a zero bit between all bits.
fn spread(bits: u32) -> u64 {
    let mut bits = u64::from(bits);
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & LATITUDE_BITS
}

/// Takes every second bit.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & LATITUDE_BITS;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

/// An area around a place; sizes are in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub center: Place,
    pub shape: Shape,
    /// `None`: as they come.
    pub order: Option<Order>,
    /// 0: all.
    pub count: u64,
    /// Stop once `count` were found, wherever they are.
    pub any: bool,
}

/// By distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    NearestFirst,
    FarthestFirst,
}

/// A member that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub member: Bytes,
    pub place: Place,
    pub score: f64,
    /// In metres.
    pub distance: f64,
}

impl Search {
    /// The members in the area.
    pub fn run(&self, keyspace: &Keyspace<'_>, zset: &Elements) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut last = None;
        let limit = if self.any { self.count } else { 0 };
        for cell in self.cells() {
            // Around large areas neighbours may be one and the same.
            if last == Some(cell) {
                continue;
            }
            if limit > 0 && found.len() as u64 >= limit {
                break;
            }
            last = Some(cell);
            self.search_cell(keyspace, zset, cell, limit, &mut found)?;
        }
        // Without an order a count asks for the nearest.
        let order = self.order.or((self.count > 0 && !self.any).then_some(Order::NearestFirst));
        let wanted = match self.count {
            0 => found.len(),
            count => usize::try_from(count).unwrap_or(usize::MAX).min(found.len()),
        };
        if let Some(order) = order {
            let compare = |a: &Found, b: &Found| {
                let nearer = a.distance.partial_cmp(&b.distance).unwrap_or(Ordering::Equal);
                if order == Order::NearestFirst { nearer } else { nearer.reverse() }
            };
            match wanted == found.len() {
                true => found.sort_by(compare),
                false => partial_sort(&mut found, wanted, &compare),
            }
        }
        found.truncate(wanted);
        Ok(found)
    }

    fn search_cell(
        &self,
        keyspace: &Keyspace<'_>,
        zset: &Elements,
        cell: Cell,
        limit: u64,
        found: &mut Vec<Found>,
    ) -> Result<()> {
        Range::Score(cell.scores()).walk(keyspace, zset, false, Window::ALL, &mut |member, score| {
            let place = Place::of_score(score);
            if let Some(distance) = self.distance_within(&place) {
                found.push(Found { member: Bytes::copy_from_slice(member), place, score, distance });
            }
            let enough = limit > 0 && found.len() as u64 >= limit;
            Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// How far away a place is, if it is within the shape.
    fn distance_within(&self, place: &Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = self.center.distance(place);
                (distance <= radius).then_some(distance)
            }
            Shape::Box { width, height } => {
                let (center, place) = (self.center, *place);
                let along_latitude = place.distance(&Place { longitude: center.longitude, ..place });
                let along_longitude = place.distance(&Place { latitude: center.latitude, ..place });
                let within = along_latitude <= width / 2.0 && along_longitude <= height / 2.0;
                within.then(|| center.distance(&place))
            }
        }
    }

    /// The cells that cover the shape, in Redis' order.
    fn cells(&self) -> Vec<Cell> {
        let (bounds, radius) = (self.bounds(), self.radius());
        let mut steps = steps_for(radius, self.center.latitude);
        let mut cell = Cell::of(self.center, LATITUDE, steps);
        // Near an edge of the cell, one of its neighbours may be too small to reach the end of the area.
        let too_small = cell.beside(0, 1).area().latitude.max < bounds.latitude.max
            || cell.beside(0, -1).area().latitude.min > bounds.latitude.min
            || cell.beside(1, 0).area().longitude.max < bounds.longitude.max
            || cell.beside(-1, 0).area().longitude.min > bounds.longitude.min;
        if steps > 1 && too_small {
            steps -= 1;
            cell = Cell::of(self.center, LATITUDE, steps);
        }
        let area = cell.area();
        // Sides that the area does not reach.
        let (mut north, mut south, mut east, mut west) = (true, true, true, true);
        if steps >= 2 {
            south = area.latitude.min >= bounds.latitude.min;
            north = area.latitude.max <= bounds.latitude.max;
            west = area.longitude.min >= bounds.longitude.min;
            east = area.longitude.max <= bounds.longitude.max;
        }
        let neighbours = [
            (0, 1, north),
            (0, -1, south),
            (1, 0, east),
            (-1, 0, west),
            (1, 1, north && east),
            (-1, 1, north && west),
            (1, -1, south && east),
            (-1, -1, south && west),
        ];
        let wanted = neighbours.into_iter().filter(|(.., wanted)| *wanted);
        std::iter::once(cell).chain(wanted.map(|(x, y, _)| cell.beside(x, y))).collect()
    }

    /// The distance from the centre to the end of the shape.
    fn radius(&self) -> f64 {
        match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt(),
        }
    }

    fn bounds(&self) -> Area {
        let Place { longitude, latitude } = self.center;
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let by_latitude = degrees(height / EARTH_RADIUS_M);
        let by_longitude = |latitude: f64| degrees(width / EARTH_RADIUS_M / radians(latitude).cos());
        // The end that is nearer to its pole is the wider one, in degrees.
        let by_longitude = match latitude < 0.0 {
            true => by_longitude(latitude - by_latitude),
            false => by_longitude(latitude + by_latitude),
        };
        Area {
            longitude: Extent { min: longitude - by_longitude, max: longitude + by_longitude },
            latitude: Extent { min: latitude - by_latitude, max: latitude + by_latitude },
        }
    }
}

/// How often to halve the earth so that a cell and its neighbours cover a circle.
fn steps_for(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS_MAX;
    }
    let (mut radius, mut steps) = (radius, 1i32);
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Towards the poles cells become narrow.
    if latitude.abs() > 66.0 {
        steps -= 1;
        if latitude.abs() > 80.0 {
            steps -= 1;
        }
    }
    steps.clamp(1, STEPS_MAX as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        (-180.0..180.0, LATITUDE.min..LATITUDE.max).prop_map(|(longitude, latitude)| Place { longitude, latitude })
    }

    proptest! {
        #[test]
        fn a_place_is_found_where_it_was_put(place in place()) {
            let found = Place::of_score(place.score());
            prop_assert!((found.longitude - place.longitude).abs() < 1e-5);
            prop_assert!((found.latitude - place.latitude).abs() < 1e-5);
        }

        #[test]
        fn bits_are_spread_and_gathered(bits in any::<u32>()) {
            prop_assert_eq!(gather(spread(bits)), bits);
            prop_assert_eq!(gather(spread(bits) << 1), 0);
        }

        #[test]
        fn the_cells_around_a_place_cover_the_circle(
            center in place(), radius in 1.0f64..1_000_000.0, angle in 0.0..std::f64::consts::TAU, share in 0.0..0.99f64,
        ) {
            // Away from the poles and from the date line, where Redis' cells do not cover everything either.
            prop_assume!(center.latitude.abs() < 60.0 && center.longitude.abs() < 150.0);
            let reach = degrees(radius * share / EARTH_RADIUS_M);
            let place = Place {
                longitude: center.longitude + reach * angle.cos(),
                latitude: center.latitude + reach * angle.sin(),
            };
            let shape = Shape::Circle { radius };
            let search = Search { center, shape, order: None, count: 0, any: false };
            let score = place.score();
            let covered = search.cells().iter().any(|cell| {
                let scores = cell.scores();
                scores.min <= score && score < scores.max
            });
            prop_assert!(search.distance_within(&place).is_none() || covered);
        }
    }

    #[test]
    fn scores_that_are_no_places_lead_where_c_leads_them() {
        assert_eq!(to_u64(-1.0), u64::MAX);
        assert_eq!(to_u64(f64::INFINITY), 0);
        assert_eq!(to_u64(f64::NEG_INFINITY), 1 << 63);
        assert_eq!(to_u64(9_223_372_036_854_775_808.0), 1 << 63);
        assert_eq!(to_u64(3.9), 3);
    }
}
