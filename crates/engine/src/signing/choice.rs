//! With which of several secrets a scheme signs whose requests carry the signature of one: pure, values in, values out.
//! Owns what a receiver is known to accept, and which secret is tried when it refuses another; what a refusal is, is not known here.

use crate::model::{SealedSecret, SignWith};

/// Which versions of one scheme a receiver accepted, as far as that shows: the last one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reception(Vec<u32>);

impl Reception {
    /// What the store knows.
    pub(super) fn kept(versions: &[SealedSecret], purpose: &str) -> Self {
        let own = versions.iter().filter(|version| version.purpose == purpose);
        let mut accepted: Vec<_> = own.filter_map(|own| Some((own.last_accepted_at?, own.version))).collect();
        accepted.sort_by_key(|accepted| std::cmp::Reverse(*accepted));
        Self(accepted.into_iter().map(|(_, version)| version).collect())
    }

    pub(super) fn accept(&mut self, version: u32) {
        self.0.retain(|known| *known != version);
        self.0.insert(0, version);
    }

    /// Those of `live` (newest first), the likeliest to be accepted first: those that were, then the newest.
    fn likeliest(&self, live: &[u32]) -> Vec<u32> {
        let known = self.0.iter().filter(|version| live.contains(version));
        let others = live.iter().filter(|version| !self.0.contains(version));
        known.chain(others).copied().collect()
    }
}

/// With which of its live secrets a scheme signs an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// With all of them, or there is none.
    All,
    /// With the first of these versions alone; and with one of the others, if the receiver refuses that.
    One(Vec<u32>),
}

impl Choice {
    /// The choice among `live`, newest first.
    pub(super) fn one_of(live: &[u32], sign_with: SignWith, reception: &Reception) -> Self {
        let Some(&newest) = live.first() else { return Self::All };
        Self::One(match sign_with {
            SignWith::Newest => vec![newest],
            SignWith::Previous => vec![live.get(1).copied().unwrap_or(newest)],
            SignWith::Adaptive => reception.likeliest(live),
        })
    }
}

/// Which of an attempt's tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    /// The one that every attempt begins with.
    First,
    /// The one that follows a refusal, at once.
    Second,
}

/// With what each scheme signs the tries of one attempt.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) by_scheme: Vec<Choice>,
    /// The attempt's number, from 1.
    pub(super) number: u32,
}

impl Choices {
    /// By scheme, which version alone signs; `None` where all do.
    pub(super) fn made(&self, which: Try) -> Vec<Option<u32>> {
        let by_scheme = self.by_scheme.iter().zip(self.changed());
        let made = by_scheme.map(|(choice, changed)| match (choice, changed, which) {
            (Choice::One(_), Some((_, other)), Try::Second) => Some(other),
            (Choice::One(versions), _, _) => versions.first().copied(),
            (Choice::All, _, _) => None,
        });
        made.collect()
    }

    /// By scheme, the version of the first try and the one of the second, where that is another. The first attempt's
    /// second try is made with the next likeliest of every scheme; with each further attempt another combination has its
    /// turn, until all had: a receiver may have missed a rotation, or have switched for one scheme only.
    pub(super) fn changed(&self) -> Vec<Option<(u32, u32)>> {
        let versions = |choice: &Choice| match choice {
            Choice::One(versions) => versions.clone(),
            Choice::All => Vec::new(),
        };
        let by_scheme: Vec<Vec<u32>> = self.by_scheme.iter().map(versions).collect();
        let counts = by_scheme.iter().map(|versions| versions.len().max(1) as u64);
        let others = counts.fold(1_u64, u64::saturating_mul) - 1;
        // A number whose digits say, scheme by scheme, which version: 0 is the first one, the highest digit the next.
        let mut rest = others - u64::from(self.number.saturating_sub(1)) % others.max(1);
        let mut pick = |versions: Vec<u32>| {
            let count = versions.len().max(1);
            let digit = usize::try_from(rest % count as u64).expect("less than a count");
            rest /= count as u64;
            let picked = (count - digit) % count;
            (picked > 0).then(|| (versions[0], versions[picked]))
        };
        by_scheme.into_iter().map(&mut pick).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_choice() {
        let one = |versions: &[u32]| Choice::One(versions.to_vec());
        let (newest, previous, adaptive) = (SignWith::Newest, SignWith::Previous, SignWith::Adaptive);
        for (live, with, accepted, expected) in [
            (&[][..], adaptive, &[1][..], Choice::All),
            (&[1], newest, &[], one(&[1])),
            (&[2, 1], newest, &[1], one(&[2])),
            (&[1], previous, &[], one(&[1])),
            (&[2, 1], previous, &[2], one(&[1])),
            (&[3, 2, 1], previous, &[], one(&[2])),
            // Whoever never answered gets the newest.
            (&[1], adaptive, &[], one(&[1])),
            (&[2, 1], adaptive, &[], one(&[2, 1])),
            // The last accepted, whatever is newer.
            (&[2, 1], adaptive, &[1], one(&[1, 2])),
            (&[2, 1], adaptive, &[2, 1], one(&[2, 1])),
            (&[3, 2, 1], adaptive, &[1], one(&[1, 3, 2])),
            // What is not live any more is not chosen.
            (&[3, 2], adaptive, &[1], one(&[3, 2])),
        ] {
            let choice = Choice::one_of(live, with, &Reception(accepted.to_vec()));
            assert_eq!(choice, expected, "{live:?} {with:?} {accepted:?}");
        }
    }

    #[test]
    fn what_a_receiver_accepted_last_counts() {
        let mut reception = Reception::default();
        for (accepted, expected) in [(1, [1, 3, 2]), (2, [2, 1, 3]), (2, [2, 1, 3]), (1, [1, 2, 3])] {
            reception.accept(accepted);
            assert_eq!(reception.likeliest(&[3, 2, 1]), expected);
        }
    }

    #[test]
    fn with_every_attempt_another_combination_has_its_turn() {
        let (two, three) = (Choice::One(vec![1, 2]), Choice::One(vec![3, 5, 4]));
        let second = |by_scheme: &[Choice], number| {
            Choices { by_scheme: by_scheme.to_vec(), number }
                .made(Try::Second)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let pair = [two.clone(), Choice::All, two];
        assert_eq!([1, 2, 3, 4].map(|number| second(&pair, number)), [[2, 2], [1, 2], [2, 1], [2, 2]]);
        assert_eq!([1, 2, 3].map(|number| second(std::slice::from_ref(&three), number)), [[5], [4], [5]]);
        for number in 1..5 {
            let choices = Choices { by_scheme: vec![Choice::One(vec![7]), Choice::All], number };
            assert_eq!(choices.changed(), [None, None], "there is nothing to change");
        }
    }

    proptest! {
        /// Whatever was accepted before; and of two secrets of one scheme that means: in its first attempt.
        #[test]
        fn a_delivery_is_accepted_before_every_combination_was_tried_twice(
            schemes in proptest::collection::vec((1_usize..4, any::<proptest::sample::Index>()), 1..4),
            accepted in proptest::collection::vec(1_u32..4, 0..4),
        ) {
            let live: Vec<Vec<u32>> =
                schemes.iter().map(|(count, _)| (1..=u32::try_from(*count).unwrap()).rev().collect()).collect();
            let knows: Vec<u32> = live.iter().zip(&schemes).map(|(live, (_, at))| *at.get(live)).collect();
            let mut reception = Reception::default();
            accepted.into_iter().for_each(|version| reception.accept(version));
            let combinations: usize = live.iter().map(Vec::len).product();
            let attempts = (1..).find(|&number| {
                let by_scheme =
                    live.iter().map(|live| Choice::one_of(live, SignWith::Adaptive, &reception)).collect();
                let choices = Choices { by_scheme, number };
                let accepts = |which| choices.made(which).into_iter().flatten().eq(knows.iter().copied());
                accepts(Try::First) || accepts(Try::Second)
            });
            prop_assert!(attempts.unwrap() as usize <= (combinations - 1).max(1), "{:?} attempts", attempts);
        }
    }
}
