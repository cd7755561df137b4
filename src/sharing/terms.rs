//! Which terms of a connection are in force: what its owner agreed to, as its grant keeps it, and never more. Pure.
//!
//! What somebody else widens waits. What anybody narrows holds at once, and widening it again is wider. Who changed the spec
//! is known at admission alone, so while its policies are not in force nothing wider is agreed to by what the object says, and
//! what is seen to wait then waits for an approval.

use bowline_api::IntegrationConnection;
use bowline_api::names::ANNOTATION_APPROVE_TERMS;
use bowline_api::owner::SubjectKind;
use bowline_api::terms::{ConnectionTerms, Proposer, TermsStatus};
use kube::ResourceExt;

use crate::vault::Grant;

/// What the record of a connection says about its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TermsOnRecord {
    /// Nobody has to agree: there is no grant, or no person consents.
    NotNeeded,
    /// The record cannot be read now.
    Unknown,
    /// The grant is of before terms were kept: what it was shared with stays.
    Unsealed,
    Agreed {
        terms: ConnectionTerms,
        /// Whether it was the present owner who agreed. After a transfer nobody agrees to more before there is a new grant.
        by_owner: bool,
    },
}

impl TermsOnRecord {
    pub(crate) fn of(grant: &Grant, connection: &IntegrationConnection) -> Self {
        let spec = &connection.spec;
        let by_owner = grant.bound_to.owner == spec.owner;
        let was_imported = grant.source.is_some() && spec.credentials.is_none();
        let is_a_persons = SubjectKind::of(&spec.owner) == Some(SubjectKind::User)
            && grant.issued_keys().is_none()
            && (grant.consent.is_ours() || was_imported);
        match &grant.consent.agreed {
            Some(terms) => Self::Agreed { terms: terms.clone(), by_owner },
            None if is_a_persons && by_owner => Self::Unsealed,
            None => Self::NotNeeded,
        }
    }

    /// Of a connection without a record. One that is lost may be restored.
    pub(crate) fn without(connection: &IntegrationConnection) -> Self {
        if connection.terms().is_some() { Self::Unknown } else { Self::NotNeeded }
    }
}

/// The terms of a connection now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TermsInForce {
    /// The spec, whatever it asks for.
    AsSpecified,
    Agreed(Box<AgreedTerms>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgreedTerms {
    /// What is in force, and belongs on record.
    pub(crate) agreed: ConnectionTerms,
    /// What the spec and its workspace ask for.
    pub(crate) proposed: ConnectionTerms,
    /// What is to be replaced on record by what is in force, if anything is.
    pub(crate) to_seal: Option<Sealing>,
}

/// What the record says before it says what is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealing {
    /// `None` of a grant that was taken in before terms were kept.
    pub(crate) from: Option<ConnectionTerms>,
}

impl TermsInForce {
    pub(crate) fn agreed(&self) -> Option<&AgreedTerms> {
        match self {
            Self::AsSpecified => None,
            Self::Agreed(terms) => Some(terms),
        }
    }

    pub(crate) fn shared(&self, connection: &IntegrationConnection) -> bool {
        self.agreed().map_or_else(|| connection.wants_sharing(), |terms| terms.agreed.shared)
    }

    pub(crate) fn workspace<'a>(&'a self, connection: &'a IntegrationConnection) -> Option<&'a str> {
        let named = connection.spec.workspace.as_deref();
        self.agreed().map_or(named, |terms| terms.agreed.workspace.as_deref())
    }

    /// Whether the token may go to this namespace of the workspace.
    pub(crate) fn reaches(&self, namespace: &str) -> bool {
        let agreed = self.agreed().map(|terms| &terms.agreed);
        agreed.is_none_or(|it| it.namespaces.as_ref().is_some_and(|all| all.contains(namespace)))
    }

    /// The scopes to request; none means the provider's default scopes.
    pub(crate) fn scopes(&self, connection: &IntegrationConnection) -> Vec<String> {
        match self {
            Self::AsSpecified => connection.spec.scopes.clone(),
            // As the spec orders them.
            Self::Agreed(terms) => {
                let agreed = &terms.agreed;
                let named = connection.spec.scopes.iter().filter(|scope| agreed.scopes.contains(*scope));
                let former = agreed.scopes.iter().filter(|scope| !connection.spec.scopes.contains(scope));
                named.chain(former).cloned().collect()
            }
        }
    }
}

/// Computes what is in force. `protected`: whether the policies that tell the owner's changes from others' are in force.
pub(crate) fn settle(
    connection: &IntegrationConnection,
    proposed: ConnectionTerms,
    on_record: TermsOnRecord,
    protected: bool,
) -> TermsInForce {
    let (before, may_agree) = match on_record {
        TermsOnRecord::NotNeeded => return TermsInForce::AsSpecified,
        // What was said last counts until the record can be read again.
        TermsOnRecord::Unknown => {
            let Some(told) = connection.terms() else { return TermsInForce::AsSpecified };
            let agreed = told.agreed.narrowed_to(&proposed);
            return TermsInForce::Agreed(Box::new(AgreedTerms { agreed, proposed, to_seal: None }));
        }
        // Until the policies are there, it holds as it is and is not sealed.
        TermsOnRecord::Unsealed => {
            let to_seal = protected.then_some(Sealing { from: None });
            let agreed = proposed.clone();
            return TermsInForce::Agreed(Box::new(AgreedTerms { agreed, proposed, to_seal }));
        }
        TermsOnRecord::Agreed { terms, by_owner } => (terms, by_owner && protected),
    };
    let agreed = agreed_now(connection, &before, &proposed, may_agree);
    let to_seal = (agreed != before).then_some(Sealing { from: Some(before) });
    TermsInForce::Agreed(Box::new(AgreedTerms { agreed, proposed, to_seal }))
}

fn agreed_now(
    connection: &IntegrationConnection,
    before: &ConnectionTerms,
    proposed: &ConnectionTerms,
    may_agree: bool,
) -> ConnectionTerms {
    let mut narrowed = before.narrowed_to(proposed);
    let is_same = narrowed.shared && narrowed.workspace == proposed.workspace;
    if is_same && narrowed.namespaces.is_none() {
        narrowed.namespaces.clone_from(&proposed.namespaces);
    }
    let approves = || connection.annotations().get(ANNOTATION_APPROVE_TERMS) == Some(&proposed.digest());
    if may_agree && proposed.is_wider_than(&narrowed) && approves() {
        return proposed.clone().as_shown();
    }
    // What waits was not the owner's when it was seen. It stays so when the policies are back, and whatever is edited besides.
    let asked_by = connection.terms().and_then(TermsStatus::proposer);
    let waits = asked_by.is_some_and(|by| by != Proposer::Workspace) && proposed.is_wider_than(&narrowed);
    if !may_agree || waits || connection.terms_by_another().is_some() {
        return narrowed;
    }
    // The owner's own edit. What its workspace was given meanwhile is not their change.
    let namespaces = if is_same { narrowed.namespaces } else { proposed.namespaces.clone() };
    ConnectionTerms { namespaces, ..proposed.clone() }
}

/// What a grant is sealed with that is taken in without a page on which its owner sees the terms: by device flow or import. Only
/// what the owner set counts then, and what an earlier consent covers.
pub(crate) fn unseen(
    connection: &IntegrationConnection,
    terms: &TermsInForce,
    proposed: ConnectionTerms,
) -> ConnectionTerms {
    match terms {
        TermsInForce::Agreed(terms) => terms.agreed.clone(),
        TermsInForce::AsSpecified if connection.terms_by_another().is_some() => proposed.kept_private(),
        TermsInForce::AsSpecified => proposed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
