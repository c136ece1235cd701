//! Sets of sectors of a disk.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of sectors, kept as ranges that do not touch: it takes memory for each gap and not for each sector.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct SectorSet {
    /// The end of each range by its start.
    ranges: BTreeMap<u64, u64>,
}

impl SectorSet {
    /// Adds sectors.
    pub(super) fn insert(&mut self, sectors: Range<u64>) {
        if sectors.is_empty() {
            return;
        }
        let Range { mut start, mut end } = sectors;
        // From the last range that may touch this one, backwards.
        while let Some((&before, &its_end)) = self.ranges.range(..=end).next_back()
            && its_end >= start
        {
            start = start.min(before);
            end = end.max(its_end);
            self.ranges.remove(&before);
        }
        self.ranges.insert(start, end);
    }

    /// The parts of `sectors` that are not in the set, lowest first.
    pub(super) fn gaps(&self, sectors: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut from = sectors.start;
        let before = self.ranges.range(..sectors.start).next_back();
        for (&start, &end) in before.into_iter().chain(self.ranges.range(sectors.clone())) {
            if start > from {
                gaps.push(from..start);
            }
            from = from.max(end);
        }
        if from < sectors.end {
            gaps.push(from..sectors.end);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set_of_sectors(
            inserted in prop::collection::vec((0u64..60, 0u64..12), 0..12),
            (start, length) in (0u64..70, 0u64..30),
        ) {
            let (mut set, mut model) = (SectorSet::default(), BTreeSet::new());
            for (start, length) in inserted {
                set.insert(start..start + length);
                model.extend(start..start + length);
            }
            let missing: Vec<u64> = (start..start + length).filter(|sector| !model.contains(sector)).collect();
            let gaps = set.gaps(start..start + length);
            prop_assert_eq!(gaps.iter().cloned().flatten().collect::<Vec<_>>(), missing);
            prop_assert!(gaps.iter().all(|gap| !gap.is_empty()));
            prop_assert!(gaps.windows(2).all(|pair| pair[0].end < pair[1].start), "gaps are whole");
        }
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut set = SectorSet::default();
        for range in [0..8, 16..24, 8..16] {
            set.insert(range);
        }
        assert_eq!(set.ranges, BTreeMap::from([(0, 24)]));
    }
}
