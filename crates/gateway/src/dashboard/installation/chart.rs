//! Charts, drawn on the server: what stands where, in the units of the picture. Columns that stack, and a band between two
//! lines. Markup and colours are the templates' and the styles'; what is counted is whose chart it is.

use std::fmt::Write as _;

/// How wide a column's place is, and the column itself.
const PLACE: u32 = 10;
const WIDTH: u32 = 8;

/// How high the picture is.
const HEIGHT: f64 = 100.0;

/// What a step of a chart says when it is pointed at: when it began, and what happened then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Says {
    /// For people, in UTC.
    pub(super) at: String,
    /// For the script, which writes it in the zone that is wanted.
    pub(super) machine: String,
    pub(super) what: String,
}

/// A picture of columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    pub(super) width: u32,
    /// What the top of the picture stands for.
    pub(super) top: u64,
    pub(super) columns: Vec<Column>,
}

/// One column: its parts from the bottom up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) x: u32,
    pub(super) says: Says,
    pub(super) parts: Vec<Part>,
}

/// A part of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) y: String,
    pub(super) height: String,
}

impl Columns {
    /// A column for each step: what it says, and its parts with their classes.
    pub(super) fn new(steps: Vec<(Says, Vec<(&'static str, u64)>)>) -> Self {
        let total = |parts: &[(&str, u64)]| parts.iter().map(|(_, count)| count).sum::<u64>();
        let top = round_up(steps.iter().map(|(_, parts)| total(parts)).max().unwrap_or(0));
        let width = u32::try_from(steps.len()).unwrap_or(0) * PLACE;
        let columns = (0_u32..).zip(steps).map(|(at, (says, parts))| {
            let mut below = 0.0;
            let parts = parts.into_iter().filter(|(_, count)| *count > 0).map(|(class, count)| {
                let height = count as f64 / top as f64 * HEIGHT;
                below += height;
                Part { class, y: number(HEIGHT - below), height: number(height) }
            });
            Column { x: at * PLACE + (PLACE - WIDTH) / 2, says, parts: parts.collect() }
        });
        Self { width, top, columns: columns.collect() }
    }

    /// How wide a column is.
    pub(super) fn column(&self) -> u32 {
        WIDTH
    }
}

/// A picture of a band: from a lower line to an upper one, with gaps where nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) width: u32,
    /// What the top of the picture stands for.
    pub(super) top: u64,
    /// Unbroken stretches: the area between the lines, and the lower line.
    pub(super) stretches: Vec<Stretch>,
    /// What each place says.
    pub(super) places: Vec<Place>,
}

/// A stretch without a gap, as points of a polygon and of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) area: String,
    pub(super) line: String,
}

/// What one place says when it is pointed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) says: Says,
}

impl Band {
    /// For each step what it says and the values of both lines, if there are any.
    pub(super) fn new(steps: Vec<(Says, Option<(u64, u64)>)>) -> Self {
        let top = round_up(steps.iter().filter_map(|(_, values)| *values).map(|(_, upper)| upper).max().unwrap_or(0));
        let width = u32::try_from(steps.len()).unwrap_or(0) * PLACE;
        let y = |value: u64| HEIGHT - value as f64 / top as f64 * HEIGHT;
        let values: Vec<(u32, Option<(f64, f64)>)> = (0_u32..)
            .zip(&steps)
            .map(|(at, (_, values))| (at * PLACE, values.map(|(lower, upper)| (y(lower), y(upper)))))
            .collect();
        let stretches = values.split(|(_, values)| values.is_none()).filter(|stretch| !stretch.is_empty());
        let stretches = stretches.map(|stretch| {
            let known: Vec<_> = stretch.iter().filter_map(|(x, values)| Some((*x, (*values)?))).collect();
            // From the left edge of the first place to the right one of the last, so that a single one is seen, too.
            let (first, last) = (known[0], known[known.len() - 1]);
            let middles = known.iter().map(|(x, values)| (x + PLACE / 2, *values));
            let all: Vec<_> =
                [(first.0, first.1)].into_iter().chain(middles).chain([(last.0 + PLACE, last.1)]).collect();
            let line = points(all.iter().map(|(x, (lower, _))| (*x, *lower)));
            let upper = points(all.iter().rev().map(|(x, (_, upper))| (*x, *upper)));
            Stretch { area: format!("{line} {upper}"), line }
        });
        let stretches = stretches.collect();
        let places = (0_u32..).zip(steps).map(|(at, (says, _))| Place { x: at * PLACE, says });
        Self { width, top, stretches, places: places.collect() }
    }

    /// How wide a place is.
    pub(super) fn place(&self) -> u32 {
        PLACE
    }
}

fn points(points: impl Iterator<Item = (u32, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        let space = if text.is_empty() { "" } else { " " };
        write!(text, "{space}{x},{}", number(y)).expect("writing to a string does not fail");
    }
    text
}

fn number(value: f64) -> String {
    let text = format!("{:.2}", value.max(0.0));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The next number that is read at a glance: 1, 2 or 5 and zeros. At least 1.
fn round_up(value: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for digit in [1, 2, 5] {
            let round = power.saturating_mul(digit);
            if round >= value {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_a_round_number() {
        let rounded = [0, 1, 2, 3, 5, 6, 11, 21, 99, 101, 4_999, u64::MAX].map(round_up);
        assert_eq!(rounded, [1, 1, 2, 5, 5, 10, 20, 50, 100, 200, 5_000, u64::MAX]);
    }

    #[test]
    fn parts_stand_on_each_other_and_reach_no_higher_than_the_picture() {
        let says = |what: &str| Says { what: what.to_owned(), ..Says::default() };
        let steps = vec![(says("none"), vec![("a", 0)]), (says("some"), vec![("a", 5), ("b", 0), ("c", 3)])];
        let columns = Columns::new(steps);
        assert_eq!((columns.width, columns.top, columns.columns[0].parts.len()), (20, 10, 0));
        let part = |class, y: &str, height: &str| Part { class, y: y.to_owned(), height: height.to_owned() };
        assert_eq!(columns.columns[1].parts, [part("a", "50", "50"), part("c", "20", "30")]);
        assert_eq!((columns.columns[1].x, columns.columns[1].says.what.as_str()), (11, "some"));
        assert_eq!(Columns::new(vec![]).width, 0);
    }

    #[test]
    fn a_band_has_gaps_where_nothing_is_known() {
        let step = |values| (Says::default(), values);
        let band = Band::new(vec![step(Some((5, 10))), step(None), step(Some((0, 5))), step(Some((10, 10)))]);
        assert_eq!((band.top, band.stretches.len(), band.places.len()), (10, 2, 4));
        assert_eq!(band.stretches[0].line, "0,50 5,50 10,50");
        assert_eq!(band.stretches[0].area, "0,50 5,50 10,50 10,0 5,0 0,0");
        assert_eq!(band.stretches[1].line, "20,100 25,100 35,0 40,0");
        assert_eq!(Band::new(vec![step(None)]).stretches, []);
    }
}
