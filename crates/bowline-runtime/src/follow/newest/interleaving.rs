//! The cache compared with a model of the API server: any order of writes, late events, listings and live reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const CONNECTION: &str = "u1";

/// Which Secret (a new one each time it is created again), and its resourceVersion.
type State = (u32, u64);

#[derive(Clone, Copy, Debug)]
enum Step {
    WeCreate,
    WeWrite,
    WeErase,
    WeReadLive,
    TheyCreate,
    TheyWrite,
    TheyDelete,
    EventArrives,
    ListingGoesOn,
}

const STEPS: [Step; 9] = [
    Step::WeCreate,
    Step::WeWrite,
    Step::WeErase,
    Step::WeReadLive,
    Step::TheyCreate,
    Step::TheyWrite,
    Step::TheyDelete,
    Step::EventArrives,
    Step::ListingGoesOn,
];

#[derive(Clone, Copy)]
enum Event {
    Applied(State),
    Deleted(State),
}

enum Listing {
    Begun,
    Answered { snapshot: Option<State>, events_before: usize },
    Applied { events_before: usize },
}

#[derive(Default)]
struct World {
    live: Option<State>,
    incarnation: u32,
    resource_version: u64,
    events: Vec<Event>,
    arrived: usize,
    listing: Option<Listing>,
    cache: Newest<&'static str, ()>,
    our_last_write: u64,
    we_erased: Vec<u32>,
}

fn object((incarnation, resource_version): State) -> ObjectVersion {
    ObjectVersion {
        uid: incarnation.to_string().into(),
        resource_version: resource_version.to_string().into(),
    }
}

impl World {
    fn cached(&self) -> Option<State> {
        let (_, held) = self.cache.get(CONNECTION)?;
        Some((held.object.uid.parse().unwrap(), held.object.resource_version.parse().unwrap()))
    }

    fn apply(&mut self, incarnation: u32) -> State {
        self.resource_version += 1;
        let state = (incarnation, self.resource_version);
        self.live = Some(state);
        self.events.push(Event::Applied(state));
        state
    }

    fn create(&mut self) -> Option<State> {
        if self.live.is_some() {
            return None;
        }
        self.incarnation += 1;
        Some(self.apply(self.incarnation))
    }

    fn delete(&mut self) -> Option<State> {
        let last = self.live.take()?;
        self.resource_version += 1;
        self.events.push(Event::Deleted((last.0, self.resource_version)));
        Some(last)
    }

    fn we_wrote(&mut self, state: State) {
        self.our_last_write = state.1;
        self.cache.take(CONNECTION, object(state), (), Source::OwnWrite);
    }

    /// A write of ours succeeds only over the state that it was based on.
    fn our_version_is_current(&self) -> bool {
        self.live.is_some() && self.cached() == self.live
    }

    fn read_live(&mut self) {
        let over = self.cached().map(object);
        match (self.live, over) {
            (Some(state), over) => {
                self.cache.take(CONNECTION, object(state), (), Source::LiveRead { over });
            }
            (None, Some(over)) => drop(self.cache.deleted(&CONNECTION, &over)),
            (None, None) => {}
        }
        assert_eq!(self.cached(), self.live, "a live read shows what is");
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::WeCreate => {
                if let Some(state) = self.create() {
                    self.we_wrote(state);
                }
            }
            Step::WeWrite if self.our_version_is_current() => {
                let state = self.apply(self.incarnation);
                self.we_wrote(state);
            }
            Step::WeErase if self.our_version_is_current() => {
                let last = self.delete().unwrap();
                self.we_erased.push(last.0);
                self.cache.deleted(&CONNECTION, &object(last));
            }
            Step::WeWrite | Step::WeErase | Step::WeReadLive => self.read_live(),
            Step::TheyCreate => drop(self.create()),
            Step::TheyWrite => drop(self.live.map(|(incarnation, _)| self.apply(incarnation))),
            Step::TheyDelete => drop(self.delete()),
            Step::EventArrives if self.listing.is_none() => self.event_arrives(),
            Step::EventArrives | Step::ListingGoesOn => self.listing_goes_on(),
        }
    }

    fn event_arrives(&mut self) {
        match self.events.get(self.arrived) {
            Some(Event::Applied(state)) => {
                self.cache.take(CONNECTION, object(*state), (), Source::Watch);
            }
            Some(Event::Deleted(state)) => drop(self.cache.deleted(&CONNECTION, &object(*state))),
            None => return,
        }
        self.arrived += 1;
    }

    fn listing_goes_on(&mut self) {
        self.listing = match self.listing.take() {
            None => {
                self.cache.listing_begins();
                Some(Listing::Begun)
            }
            Some(Listing::Begun) => {
                Some(Listing::Answered { snapshot: self.live, events_before: self.events.len() })
            }
            Some(Listing::Answered { snapshot, events_before }) => {
                if let Some(state) = snapshot {
                    self.cache.take(CONNECTION, object(state), (), Source::Watch);
                }
                Some(Listing::Applied { events_before })
            }
            Some(Listing::Applied { events_before }) => {
                self.arrived = events_before;
                if !self.cache.listing_ends().doubtful.is_empty() {
                    self.read_live();
                }
                None
            }
        };
    }

    fn check(&self, step: Step) {
        if let Some((incarnation, resource_version)) = self.cached() {
            assert!(resource_version >= self.our_last_write, "below our own write after {step:?}");
            assert!(!self.we_erased.contains(&incarnation), "back from the dead after {step:?}");
        }
        if self.live.is_some_and(|(_, resource_version)| resource_version == self.our_last_write) {
            assert_eq!(self.cached(), self.live, "our own write is lost after {step:?}");
        }
    }

    fn come_to_rest(&mut self) {
        while self.listing.is_some() {
            self.listing_goes_on();
        }
        while self.arrived < self.events.len() {
            self.event_arrives();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_news_takes_us_below_our_own_write_and_in_the_end_the_cache_is_right(
        steps in proptest::collection::vec(select(STEPS.as_slice()), 1..80),
    ) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
            world.check(step);
        }
        world.come_to_rest();
        prop_assert_eq!(world.cached(), world.live);
    }
}
