//! What a refresh costs the API server. Pure: computed from the requests in the audit log.

use std::collections::{BTreeMap, BTreeSet};

use super::fleet::{Fleet, Habit};
use crate::audit::{Request, Requests};

/// Which connections a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum For {
    /// Connections whose refresh tokens die when used.
    Strict,
    /// The others.
    Lenient,
    /// None that the request shows.
    Nobody,
}

/// Which object belongs to which connection, by name.
pub struct Names {
    strict: BTreeSet<String>,
    lenient: BTreeSet<String>,
}

impl Names {
    /// Connections and Secrets are named alike; records are named by UID.
    pub fn of(fleet: &Fleet) -> Self {
        let mut names = Self { strict: BTreeSet::new(), lenient: BTreeSet::new() };
        for member in &fleet.members {
            let set = if member.habit == Habit::SingleUse { &mut names.strict } else { &mut names.lenient };
            set.extend([member.name.clone(), format!("record-{}", member.uid)]);
        }
        names
    }

    fn whose(&self, request: &Request) -> For {
        match request.name.as_str() {
            name if self.strict.contains(name) => For::Strict,
            name if self.lenient.contains(name) => For::Lenient,
            _ => For::Nobody,
        }
    }
}

/// How many requests of each verb and resource, by the connections they were for.
pub type Costs = BTreeMap<(For, String), usize>;

/// Counts the requests.
pub fn count(requests: &Requests, names: &Names) -> Costs {
    let mut costs = Costs::new();
    for request in requests.iter() {
        let what = [request.resource.as_str(), request.subresource.as_str()];
        let what: Vec<_> = what.into_iter().filter(|part| !part.is_empty()).collect();
        let refused = if request.code < 400 { String::new() } else { format!(" ({})", request.code) };
        let kind = if request.name.starts_with("record-") { " of records" } else { "" };
        let line = format!("{} {}{kind}{refused}", request.verb, what.join("/"));
        *costs.entry((names.whose(request), line)).or_default() += 1;
    }
    costs
}

/// All requests that were for these connections.
pub fn total(costs: &Costs, whom: For) -> usize {
    costs.iter().filter(|((of, _), _)| *of == whom).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, name: &str, code: u16) -> Request {
        Request {
            user: "operator".into(),
            verb: verb.into(),
            group: String::new(),
            resource: "secrets".into(),
            subresource: String::new(),
            namespace: "bench-0".into(),
            name: name.into(),
            code,
            annotations: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn requests_are_told_apart_by_the_names_they_carry() {
        let names = Names {
            strict: ["strict-1", "record-a"].map(String::from).into(),
            lenient: ["none-2".to_owned()].into(),
        };
        let whose = |name| names.whose(&request("update", name, 200));
        assert_eq!(
            ["strict-1", "record-a", "none-2", "record-x", ""].map(whose),
            [For::Strict, For::Strict, For::Lenient, For::Nobody, For::Nobody]
        );
    }

    #[test]
    fn refused_requests_cost_too_and_are_shown_apart() {
        let names = Names { strict: ["record-a".to_owned()].into(), lenient: BTreeSet::new() };
        let requests = [request("update", "record-a", 200), request("update", "record-a", 409)];
        let costs = count(&Requests::from_iter(requests), &names);
        assert_eq!(total(&costs, For::Strict), 2);
        assert_eq!(costs.get(&(For::Strict, "update secrets of records (409)".to_owned())), Some(&1));
    }
}
