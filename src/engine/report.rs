//! What RocksDB says of itself in prose: the few figures that it has no number for, read out of its status texts.
//!
//! Pure functions of text. A text that does not say what is looked for gives 0, never an error: a figure is a comfort.

use super::{EngineStatistics, LEVELS, LevelStatistics};

/// Adds the files and bytes of one column family's levels: of the property `rocksdb.levelstats`, lines of level, files and
/// megabytes.
pub fn add_levels(text: &str, levels: &mut [LevelStatistics; LEVELS]) {
    for line in text.lines() {
        let numbers: Vec<u64> = line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let [level, files, megabytes] = numbers[..] else { continue };
        if let Some(level) = usize::try_from(level).ok().and_then(|level| levels.get_mut(level)) {
            level.files += files;
            level.bytes += megabytes << 20;
        }
    }
}

/// Adds what one column family has flushed and compacted, and how often its writes were held up: of the property
/// `rocksdb.cfstats-no-file-histogram`.
pub fn add_family(text: &str, statistics: &mut EngineStatistics) {
    statistics.flushed_bytes += gigabytes(after(text, "Flush(GB): cumulative "));
    let compaction = after(text, "Cumulative compaction: ");
    statistics.compaction_written_bytes += gigabytes(compaction);
    statistics.compaction_read_bytes += gigabytes(after(compaction, "MB/s write, "));
    statistics.write_delays += number(after(text, "total-delays: "));
    statistics.write_stops += number(after(text, "total-stops: "));
}

/// How long writes have been held up since the store was opened, in milliseconds: of the property `rocksdb.dbstats`,
/// `Cumulative stall: 01:02:3.456 H:M:S`.
pub fn stalled_ms(text: &str) -> u64 {
    let time = after(text, "Cumulative stall: ").split(' ').next().unwrap_or_default();
    let parts: Vec<f64> = time.split(':').map_while(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds] = parts[..] else { return 0 };
    (((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0).round() as u64
}

/// What follows `label`; nothing if it does not occur.
fn after<'t>(text: &'t str, label: &str) -> &'t str {
    text.split_once(label).map_or("", |(_, rest)| rest)
}

/// The number that `text` begins with.
fn number(text: &str) -> u64 {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

/// The number of gigabytes that `text` begins with, in bytes.
fn gigabytes(text: &str) -> u64 {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    (text[..end].parse::<f64>().unwrap_or(0.0) * (1u64 << 30) as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_add_up_over_column_families() {
        let text = "Level Files Size(MB)\n--------------------\n  0        3       12\n  1        0        0\n  6       40     2560\n";
        let mut levels = [LevelStatistics::default(); LEVELS];
        add_levels(text, &mut levels);
        add_levels(text, &mut levels);
        assert_eq!(levels[0], LevelStatistics { files: 6, bytes: 24 << 20 });
        assert_eq!(levels[6], LevelStatistics { files: 80, bytes: 5120 << 20 });
        add_levels("nonsense 1 2\n 99 1 1\n", &mut levels);
        assert_eq!(levels[1], LevelStatistics::default());
    }

    #[test]
    fn flushes_compactions_and_stalls_are_found() {
        let text = "Uptime(secs): 60.0 total, 1.0 interval\nFlush(GB): cumulative 1.500, interval 0.000\n\
            Cumulative compaction: 2.25 GB write, 37.50 MB/s write, 4.00 GB read, 66.67 MB/s read, 1.5 seconds\n\
            Write Stall (count): cf-l0-file-count-limit-delays-with-ongoing-compaction: 0, total-delays: 17, total-stops: 2\n";
        let mut statistics = EngineStatistics::default();
        add_family(text, &mut statistics);
        assert_eq!(statistics.flushed_bytes, 3 << 29);
        assert_eq!(statistics.compaction_written_bytes, 9 << 28);
        assert_eq!(statistics.compaction_read_bytes, 4 << 30);
        assert_eq!((statistics.write_delays, statistics.write_stops), (17, 2));
        add_family("", &mut statistics);
        assert_eq!(statistics.write_delays, 17);
    }

    #[test]
    fn stalled_time_is_read_from_hours_minutes_and_seconds() {
        for (text, expected) in [
            ("Cumulative stall: 00:00:0.000 H:M:S, 0.0 percent\n", 0),
            ("x\nCumulative stall: 01:02:3.456 H:M:S, 0.0 percent\n", 3_723_456),
            ("Cumulative stall: soon\n", 0),
            ("", 0),
        ] {
            assert_eq!(stalled_ms(text), expected, "{text}");
        }
    }
}
