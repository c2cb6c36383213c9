//! `math.random` and `math.randomseed` as scripts of Redis have them: `lrand48` with a state of their own, which begins the same
//! for every script. So a script draws the same numbers each time.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Result, Table};
use parking_lot::Mutex;

use super::arguments::Arguments;
use super::raise::{bad_argument, fail};

/// The 48 bits of `drand48` and its like.
#[derive(Debug)]
struct Generator(u64);

impl Generator {
    fn seeded(seed: u32) -> Generator {
        Generator(u64::from(seed) << 16 | 0x330e)
    }

    /// `lrand48`
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & ((1 << 48) - 1);
        (self.0 >> 17) as u32
    }

    /// From 0 to less than 1.
    fn fraction(&mut self) -> f64 {
        const MOST: u32 = i32::MAX as u32;
        f64::from(self.next() % MOST) / f64::from(MOST)
    }
}

/// Begins anew for a script: of what [`install`] has put there.
#[derive(Clone)]
pub struct Reseed(Arc<Mutex<Generator>>);

impl Reseed {
    pub fn run(&self) {
        *self.0.lock() = Generator::seeded(0);
    }
}

pub fn install(lua: &Lua, math: &Table) -> Result<()> {
    let generator = Arc::new(Mutex::new(Generator::seeded(0)));
    lua.set_app_data(Reseed(generator.clone()));
    let drawn = generator.clone();
    math.raw_set("random", lua.create_function(move |lua, args| random(lua, args, &mut drawn.lock()))?)?;
    let seed = move |lua: &Lua, args: MultiValue| {
        let seed = Arguments::new(lua, args).number(1)?;
        *generator.lock() = Generator::seeded(seed as i64 as u32);
        Ok(())
    };
    math.raw_set("randomseed", lua.create_function(seed)?)
}

fn random(lua: &Lua, args: MultiValue, generator: &mut Generator) -> Result<f64> {
    let args = Arguments::new(lua, args);
    let fraction = generator.fraction();
    let bound = |index: usize| args.number(index).map(f64::trunc);
    match args.len() {
        0 => Ok(fraction),
        1 => {
            let upper = bound(1)?;
            if upper < 1.0 {
                return Err(bad_argument(lua, 1, "interval is empty"));
            }
            Ok((fraction * upper).floor() + 1.0)
        }
        2 => {
            let (lower, upper) = (bound(1)?, bound(2)?);
            if lower > upper {
                return Err(bad_argument(lua, 2, "interval is empty"));
            }
            Ok((fraction * (upper - lower + 1.0)).floor() + lower)
        }
        _ => Err(fail(lua, "wrong number of arguments")),
    }
}
