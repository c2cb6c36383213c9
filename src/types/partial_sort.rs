//! Redis' partial sort (`pqsort`): a quicksort that only looks after the part of the result that is asked for. It is not
//! stable, so where elements are equal its result depends on the steps it takes; they are the same here.

use std::cmp::Ordering;

/// Sorts so that the first `wanted` elements are those of a sorted slice.
pub fn partial_sort<T>(items: &mut [T], wanted: usize, compare: &impl Fn(&T, &T) -> Ordering) {
    // The parts that are still to be sorted: where each begins, and how long it is.
    let mut parts = vec![(0, items.len())];
    while let Some((start, len)) = parts.pop() {
        if start >= wanted {
            continue;
        }
        let part = &mut items[start..start + len];
        if len < 7 {
            insertion_sort(part, compare);
            continue;
        }
        let (below, above) = partition(part, compare);
        // The upper part goes last, as there.
        if above > 1 {
            parts.push((start + len - above, above));
        }
        if below > 1 {
            parts.push((start, below));
        }
    }
}

fn insertion_sort<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    for next in 1..items.len() {
        let mut at = next;
        while at > 0 && compare(&items[at - 1], &items[at]).is_gt() {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// Bentley and McIlroy's: elements equal to the pivot are gathered at both ends and put into the middle afterwards.
/// Returns how many are below and how many above it.
fn partition<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) -> (usize, usize) {
    let len = items.len();
    let pivot = pivot(items, compare);
    items.swap(0, pivot);
    // Of the lower elements and of the upper ones: where the equal ones end, and how far we have come. The upper bounds are
    // one behind what they mean, for they may fall short of the first element.
    let (mut equal_low, mut low) = (1, 1);
    let (mut high, mut equal_high) = (len, len);
    loop {
        while low < high {
            match compare(&items[low], &items[0]) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    items.swap(equal_low, low);
                    equal_low += 1;
                }
                Ordering::Less => {}
            }
            low += 1;
        }
        while low < high {
            match compare(&items[high - 1], &items[0]) {
                Ordering::Less => break,
                Ordering::Equal => {
                    items.swap(high - 1, equal_high - 1);
                    equal_high -= 1;
                }
                Ordering::Greater => {}
            }
            high -= 1;
        }
        if low >= high {
            break;
        }
        items.swap(low, high - 1);
        low += 1;
        high -= 1;
    }
    let (below, above) = (low - equal_low, equal_high - high);
    let moved = equal_low.min(below);
    (0..moved).for_each(|at| items.swap(at, low - moved + at));
    let moved = above.min(len - equal_high);
    (0..moved).for_each(|at| items.swap(low + at, len - moved + at));
    (below, above)
}

fn pivot<T>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let len = items.len();
    let (mut low, mut middle, mut high) = (0, len / 2, len - 1);
    if len == 7 {
        return middle;
    }
    let median = |a: usize, b: usize, c: usize| {
        let less = |x: usize, y: usize| compare(&items[x], &items[y]).is_lt();
        if less(a, b) {
            if less(b, c) {
                b
            } else if less(a, c) {
                c
            } else {
                a
            }
        } else {
            let greater = |x: usize, y: usize| compare(&items[x], &items[y]).is_gt();
            if greater(b, c) {
                b
            } else if less(a, c) {
                a
            } else {
                c
            }
        }
    };
    if len > 40 {
        let step = len / 8;
        low = median(low, low + step, low + 2 * step);
        middle = median(middle - step, middle, middle + step);
        high = median(high - 2 * step, high - step, high);
    }
    median(low, middle, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_wanted_part_is_that_of_a_whole_sort(
            mut items in prop::collection::vec(0u8..30, 0..200), wanted in 0usize..220,
        ) {
            let mut sorted = items.clone();
            sorted.sort_unstable();
            partial_sort(&mut items, wanted, &|a: &u8, b: &u8| a.cmp(b));
            let wanted = wanted.min(items.len());
            prop_assert_eq!(&items[..wanted], &sorted[..wanted]);
            items.sort_unstable();
            prop_assert_eq!(items, sorted);
        }
    }
}
