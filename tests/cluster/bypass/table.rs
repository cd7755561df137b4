//! The attempts.

use bowline_api::names::FINALIZER;
use serde_json::{Value, json};

use super::Deed::{Change, Create, Delete, Malformed, Status};
use super::Kind::{self, Connection};
use super::Thing::{Binding, Held, Hers, Intake, Published, Record, Share, Shared, Used, Workspace};
use super::{Attempt, Deed};
use crate::asking::{ADMIN, OPERATOR, PORTAL, merged};
use crate::fixture::{LOOKALIKE, binding, connection, secret, share, workspace};
use crate::judging::Verdict;

const NO_SYSTEM: Verdict = Verdict::Invalid("no system: user owns a connection");
/// Of several policies that refuse, any one is quoted.
const DENIED: &str = "denied request";
const NOT_YOU: &str = "put your own name there, or ask for the verb assign-owner";
const STAYS: &str = "spec.owner is 'alice' and stays so";
const NOT_YOURS: &str = "this connection belongs to 'alice'";
const NO_SHARE: &str = "needs the verb share";
const NO_STATUS: &str = "status is written by the operator alone";
const NO_FINALIZER: &str = "finalizers under bowline.dev/";
const NO_SHARES: &str = "shares are written by the operator alone";
const NO_LABEL: &str = "set and removed by it alone";
const NO_RECORD: &str = "are written and deleted by the operator alone";
const NO_USE: &str = "binding this connection needs the verb use on it";
const UNREADABLE: &str = "you need the right to get it";
const RESERVED: &str = "nothing is shared in the namespaces of Bowline or of the cluster";
const USED: &str = "2 bindings use this connection (jobs/a, jobs/b)";
const SEALED: &str = "an intake Secret is not changed";

fn attempt(name: &'static str, who: &'static str, deed: Deed, refusal: impl Into<Verdict>) -> Attempt {
    Attempt { name, who, deed, refusal: refusal.into() }
}

#[allow(clippy::needless_pass_by_value, reason = "rows are read without references in them")]
fn spec(value: Value) -> Value {
    json!({"spec": value})
}

fn mark(key: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {key: value.into()}}})
}

fn acting(user: &str, change: &Value) -> Value {
    merged(mark("bowline.dev/acting-user", user), change)
}

/// Said to be set by the pipeline.
fn by_gitops(change: &Value) -> Value {
    merged(mark("bowline.dev/terms-by", "gitops"), change)
}

fn owned(owner: &str) -> Deed {
    Create(Connection, connection("x", owner))
}

/// For a method without a person, as `ServiceAccount`s own them.
fn minted(owner: &str) -> Deed {
    made(owner, &spec(json!({"method": "ClientCredentials"})))
}

fn made(owner: &str, change: &Value) -> Deed {
    Create(Connection, merged(connection("x", owner), change))
}

/// All of them, for people of this namespace.
pub fn attempts(namespace: &str) -> Vec<Attempt> {
    let here = |name: &str| format!("{namespace}.{name}");
    [
        names(),
        portals(),
        transfers(),
        terms(),
        members(),
        specs(),
        announcements(),
        sharing(),
        statuses(),
        shares_and_secrets(),
    ]
    .into_iter()
    .chain([bindings(here), deletions(), named_secrets(), workspaces(), malformed()])
    .flatten()
    .collect()
}

/// To own a connection in somebody else's name.
fn names() -> Vec<Attempt> {
    vec![
        attempt("made in the name of another", "mallory", owned("alice"), NOT_YOU),
        attempt("made in the name of another by who may only write", "bob", owned("alice"), NOT_YOU),
        attempt("made in one's own name with another first letter", "mallory", owned("Mallory"), NOT_YOU),
        attempt("made in one's own name with a space behind it", "mallory", owned("mallory "), NOT_YOU),
        attempt(
            "made in a name with a letter that looks like another",
            "mallory",
            owned("\u{430}lice"),
            NOT_YOU,
        ),
        attempt(
            "made in the name of another with a letter that nobody sees",
            "mallory",
            owned("alice\u{200b}"),
            NOT_YOU,
        ),
        attempt(
            "made in the name of the cluster's administrators",
            "mallory",
            owned("system:admin"),
            NO_SYSTEM,
        ),
        attempt("made in the name of nobody in particular", "mallory", owned("system:anonymous"), NO_SYSTEM),
        attempt("made in the name of the operator", "mallory", minted(OPERATOR), DENIED),
        attempt(
            "made by one ServiceAccount in the name of another",
            LOOKALIKE,
            minted("system:serviceaccount:team-a:other"),
            DENIED,
        ),
        attempt("made by the operator", OPERATOR, owned("alice"), DENIED),
        attempt(
            "made for another with an agreement to an account",
            "gitops",
            made("alice", &mark("bowline.dev/accept-account", "1")),
            "account",
        ),
        attempt(
            "made with the operator's finalizer of a later version",
            "alice",
            made("alice", &json!({"metadata": {"finalizers": ["bowline.dev/other"]}})),
            NO_FINALIZER,
        ),
    ]
}

/// To act as the portal, or through it.
fn portals() -> Vec<Attempt> {
    let renamed = spec(json!({"displayName": "renamed"}));
    let make = |user: &str| made("alice", &mark("bowline.dev/acting-user", user));
    vec![
        attempt("made by a stranger who claims to act for the owner", "mallory", make("alice"), NOT_YOU),
        attempt("made by a ServiceAccount that is called as the portal's", LOOKALIKE, make("alice"), NOT_YOU),
        attempt(
            "made by the portal for somebody else than the owner",
            PORTAL,
            make("bob"),
            "but you are 'bob'",
        ),
        attempt("made by the portal for a holder of assign-owner", PORTAL, make("gitops"), NOT_YOU),
        attempt("made by the portal for nobody", PORTAL, owned("alice"), NOT_YOU),
        attempt(
            "changed by a stranger who claims to act for the owner",
            "mallory",
            Change(Hers, acting("alice", &renamed)),
            NOT_YOURS,
        ),
        attempt(
            "changed by a ServiceAccount that is called as the portal's",
            LOOKALIKE,
            Change(Hers, acting("alice", &renamed)),
            NOT_YOURS,
        ),
        attempt(
            "changed by the portal for somebody else",
            PORTAL,
            Change(Hers, acting("bob", &renamed)),
            NOT_YOURS,
        ),
        attempt(
            "changed by the portal for an owner in capitals",
            PORTAL,
            Change(Hers, acting("Alice", &renamed)),
            NOT_YOURS,
        ),
        attempt("changed by the portal for nobody", PORTAL, Change(Hers, renamed.clone()), NOT_YOURS),
        attempt(
            "changed by the operator as if it were the portal",
            OPERATOR,
            Change(Hers, acting("alice", &renamed)),
            DENIED,
        ),
        attempt(
            "marked as acted for somebody",
            "mallory",
            Change(Hers, mark("bowline.dev/acting-user", "alice")),
            NOT_YOURS,
        ),
    ]
}

/// To become the owner, or to have an owner's agreement in a new owner's name.
fn transfers() -> Vec<Attempt> {
    let to = |owner: &str| spec(json!({"owner": owner}));
    vec![
        attempt("taken over", "mallory", Change(Hers, to("mallory")), STAYS),
        attempt("taken over by who may only write", "bob", Change(Hers, to("bob")), STAYS),
        attempt("given away by its owner", "alice", Change(Hers, to("bob")), STAYS),
        attempt(
            "given away by the portal for its owner",
            PORTAL,
            Change(Hers, acting("alice", &to("bob"))),
            STAYS,
        ),
        attempt(
            "given to the one for whom the portal acts",
            PORTAL,
            Change(Hers, acting("bob", &to("bob"))),
            STAYS,
        ),
        attempt("given away by the operator", OPERATOR, Change(Hers, to("bob")), DENIED),
        attempt(
            "taken over with a grant of one's own in the same change",
            "mallory",
            Change(Hers, merged(to("mallory"), &mark("bowline.dev/intake", "x/1"))),
            STAYS,
        ),
        attempt(
            "transferred with an agreement to an account",
            "gitops",
            Change(Hers, merged(to("bob"), &mark("bowline.dev/accept-account", "1"))),
            "account",
        ),
        attempt(
            "transferred with an agreement to its deletion",
            "gitops",
            Change(Hers, merged(to("bob"), &mark("bowline.dev/confirm-delete", "1"))),
            "confirm",
        ),
        attempt("transferred while it is shared", "gitops", Change(Shared, by_gitops(&to("bob"))), NO_SHARE),
        attempt(
            "transferred to the cluster's administrators",
            "gitops",
            Change(Hers, to("system:masters")),
            NO_SYSTEM,
        ),
    ]
}

/// To change what somebody else's connection asks for, publishes, or is.
fn specs() -> Vec<Attempt> {
    let change = |value: Value| Change(Hers, spec(value));
    vec![
        attempt("renamed by a stranger", "mallory", change(json!({"displayName": "hers"})), NOT_YOURS),
        attempt(
            "asked for more scopes by a stranger",
            "mallory",
            change(json!({"scopes": ["admin"]})),
            NOT_YOURS,
        ),
        attempt(
            "pointed at a Secret of a stranger's",
            "mallory",
            change(json!({"credentials": {"secretName": "mallorys"}})),
            NOT_YOURS,
        ),
        attempt(
            "given another method by a stranger",
            "mallory",
            change(json!({"method": "RefreshToken"})),
            NOT_YOURS,
        ),
        attempt("disconnected by a stranger", "mallory", change(json!({"disconnect": true})), NOT_YOURS),
        attempt("paused by a stranger", "bob", change(json!({"suspend": true})), NOT_YOURS),
        attempt(
            "published under another name by a stranger",
            "mallory",
            change(json!({"secret": {"name": "elsewhere"}})),
            NOT_YOURS,
        ),
        attempt(
            "published in another shape by a stranger",
            "mallory",
            change(json!({"secret": {"template": {"data": {"x": "{{ token }}"}}}})),
            NOT_YOURS,
        ),
        attempt(
            "unprotected by a stranger",
            "mallory",
            change(json!({"deletionProtection": false})),
            NOT_YOURS,
        ),
        attempt(
            "given other defaults by a stranger",
            "mallory",
            change(json!({"config": {"channel": "#theirs"}})),
            NOT_YOURS,
        ),
        attempt(
            "pinned to a stranger's account",
            "mallory",
            change(json!({"account": {"id": "mallory"}})),
            NOT_YOURS,
        ),
        attempt("paused by the operator", OPERATOR, change(json!({"suspend": true})), DENIED),
        attempt("disconnected by the operator", OPERATOR, change(json!({"disconnect": true})), DENIED),
    ]
}

/// To announce a grant, an account or a deletion in the owner's name.
fn announcements() -> Vec<Attempt> {
    let sets = |key: &str| Change(Hers, mark(key, "x/1"));
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}]}});
    vec![
        attempt("given a stranger's grant", "mallory", sets("bowline.dev/intake"), NOT_YOURS),
        attempt("given a grant by who may only write", "bob", sets("bowline.dev/intake"), NOT_YOURS),
        attempt("agreed to another account", "mallory", sets("bowline.dev/accept-account"), NOT_YOURS),
        attempt(
            "agreed to another account by a pipeline",
            "gitops",
            sets("bowline.dev/accept-account"),
            "agrees to an account",
        ),
        attempt(
            "confirmed its deletion by a stranger",
            "mallory",
            sets("bowline.dev/confirm-delete"),
            NOT_YOURS,
        ),
        attempt(
            "confirmed its deletion by a pipeline",
            "gitops",
            sets("bowline.dev/confirm-delete"),
            NOT_YOURS,
        ),
        attempt(
            "confirmed its deletion by an administrator",
            ADMIN,
            sets("bowline.dev/confirm-delete"),
            NOT_YOURS,
        ),
        attempt(
            "asked for a device code without the right to connect",
            "bob",
            sets("bowline.dev/authorize-requested-at"),
            "verb connect",
        ),
        attempt(
            "asked for a refresh without the right to connect",
            "bob",
            sets("bowline.dev/refresh-requested-at"),
            "verb connect",
        ),
        attempt(
            "asked for a refresh by the operator",
            OPERATOR,
            sets("bowline.dev/refresh-requested-at"),
            DENIED,
        ),
        attempt(
            "marked with what a later version may read",
            "mallory",
            sets("bowline.dev/of-a-later-version"),
            NOT_YOURS,
        ),
        attempt(
            "tied to an object that is gone, so that it is collected",
            "mallory",
            Change(Hers, owner.clone()),
            "references to owners",
        ),
        attempt("tied to an object that is gone by the operator", OPERATOR, Change(Hers, owner), DENIED),
        attempt(
            "swapped content of an announced grant",
            "mallory",
            Change(Intake, json!({"data": {"access_token": "bmV3"}})),
            SEALED,
        ),
        attempt(
            "swapped content of an announced grant by its author",
            "alice",
            Change(Intake, json!({"data": {"access_token": "bmV3"}})),
            SEALED,
        ),
        attempt(
            "moved an announced grant to another connection",
            "mallory",
            Change(Intake, json!({"metadata": {"labels": {"bowline.dev/connection": "mallorys"}}})),
            SEALED,
        ),
    ]
}

/// To have a token where its owner does not want it.
fn sharing() -> Vec<Attempt> {
    let shared = spec(json!({"workspace": "marketing", "shared": true}));
    vec![
        attempt("shared by a stranger", "mallory", Change(Hers, shared.clone()), NOT_YOURS),
        attempt(
            "shared by a pipeline without the right to share",
            "gitops",
            Change(Hers, by_gitops(&shared)),
            NO_SHARE,
        ),
        attempt("made shared without the right to share", "bob", made("bob", &shared), NO_SHARE),
        attempt(
            "made shared for another without the right to share",
            "gitops",
            made("alice", &by_gitops(&shared)),
            NO_SHARE,
        ),
        attempt(
            "moved to another workspace by a stranger",
            "mallory",
            Change(Shared, spec(json!({"workspace": "theirs"}))),
            NOT_YOURS,
        ),
        attempt(
            "moved to another workspace by a pipeline",
            "gitops",
            Change(Shared, by_gitops(&spec(json!({"workspace": "theirs"})))),
            NO_SHARE,
        ),
        attempt(
            "no longer shared by a stranger",
            "bob",
            Change(Shared, spec(json!({"shared": false}))),
            NOT_YOURS,
        ),
        attempt("shared by the operator", OPERATOR, Change(Hers, shared), DENIED),
    ]
}

/// To have an owner agree to what they have not seen.
fn terms() -> Vec<Attempt> {
    let unsaid = "set the annotation bowline.dev/terms-by to 'gitops'";
    let shared = spec(json!({"workspace": "marketing", "shared": true}));
    let by = |who: &str| mark("bowline.dev/terms-by", who);
    let approved = || Change(Hers, mark("bowline.dev/approve-terms", "0"));
    vec![
        attempt(
            "asked for more without saying who asks",
            "gitops",
            Change(Hers, spec(json!({"scopes": ["admin"]}))),
            unsaid,
        ),
        attempt("made for another without saying who shares it", "gitops", made("alice", &shared), DENIED),
        attempt(
            "asked for more in the owner's name",
            "gitops",
            Change(Hers, merged(by("alice"), &spec(json!({"scopes": ["admin"]})))),
            DENIED,
        ),
        attempt("named another as who set the terms", "gitops", Change(Hers, by("bob")), DENIED),
        attempt("named oneself without the right to", "mallory", Change(Hers, by("mallory")), NOT_YOURS),
        attempt("approved by a pipeline", "gitops", approved(), "approves where it is shared"),
        attempt("approved by an administrator", ADMIN, approved(), "approves where it is shared"),
        attempt("approved by a stranger", "mallory", approved(), NOT_YOURS),
        attempt(
            "approved by the portal for somebody else",
            PORTAL,
            Change(Hers, acting("bob", &mark("bowline.dev/approve-terms", "0"))),
            NOT_YOURS,
        ),
        attempt(
            "transferred with an approval",
            "gitops",
            Change(Hers, merged(spec(json!({"owner": "bob"})), &mark("bowline.dev/approve-terms", "0"))),
            "approve-terms",
        ),
    ]
}

/// To make oneself a member, or to be more than one is.
fn members() -> Vec<Attempt> {
    let admin = |name: &str| spec(json!({"members": [{"kind": "User", "name": name, "role": "Admin"}]}));
    vec![
        attempt("made oneself an Admin", "mallory", Change(Hers, admin("mallory")), NOT_YOURS),
        attempt(
            "made a group of one's own Admin",
            "mallory",
            Change(Hers, spec(json!({"members": [{"kind": "Group", "name": "strangers", "role": "Admin"}]}))),
            NOT_YOURS,
        ),
        attempt(
            "made oneself an Admin through the portal",
            PORTAL,
            Change(Hers, acting("mallory", &admin("mallory"))),
            NOT_YOURS,
        ),
        attempt("made a member by the operator", OPERATOR, Change(Hers, admin("mallory")), DENIED),
        attempt(
            "had a grant revoked at once by a stranger",
            "mallory",
            Change(Hers, mark("bowline.dev/revoke-now", "g")),
            NOT_YOURS,
        ),
    ]
}

/// To say in the operator's name how something stands, or to keep it from its work.
fn statuses() -> Vec<Attempt> {
    let active = json!({"status": {"phase": "Active"}});
    let unused = json!({"status": {"dependents": null}});
    let pinned = json!({"status": {"pinned": {"uid": "1", "owner": "mallory"}}});
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    vec![
        attempt("told as active by its owner", "alice", Status(Hers, active.clone()), NO_STATUS),
        attempt("told as active by a stranger", "mallory", Status(Hers, active.clone()), NO_STATUS),
        attempt("told as active by a pipeline", "gitops", Status(Hers, active.clone()), NO_STATUS),
        attempt("told as active by an administrator", ADMIN, Status(Hers, active), NO_STATUS),
        attempt("told as used by nobody, to be deleted", "alice", Status(Used, unused), NO_STATUS),
        attempt(
            "told a share as published",
            "mallory",
            Status(Share, json!({"status": {"secretName": "theirs"}})),
            NO_STATUS,
        ),
        attempt("told a binding as pinned to another owner", "alice", Status(Binding, pinned), NO_STATUS),
        attempt(
            "told a workspace as looked at",
            ADMIN,
            Status(Workspace, json!({"status": {"observedGeneration": 7}})),
            NO_STATUS,
        ),
        attempt("let go by its owner", "alice", Change(Held, finalizers(json!(null))), NO_FINALIZER),
        attempt("let go by a stranger", "mallory", Change(Held, finalizers(json!([]))), NO_FINALIZER),
        attempt("let go by an administrator", ADMIN, Change(Held, finalizers(json!(null))), NO_FINALIZER),
        attempt(
            "held in the operator's name",
            "alice",
            Change(Hers, finalizers(json!([FINALIZER]))),
            NO_FINALIZER,
        ),
        attempt(
            "held a binding in the operator's name",
            "alice",
            Change(Binding, finalizers(json!([FINALIZER]))),
            NO_FINALIZER,
        ),
        attempt(
            "held a workspace in the operator's name",
            ADMIN,
            Change(Workspace, finalizers(json!([FINALIZER]))),
            NO_FINALIZER,
        ),
    ]
}

/// To make, redirect or remove what the operator publishes and keeps.
fn shares_and_secrets() -> Vec<Attempt> {
    let redirected = json!({"spec": {"connection": {"uid": "1"}}});
    let labelled = |labels: Value| Create(Kind::Secret, secret("x", "Opaque", &labels));
    let label = |key: &str, value: Value| Change(Published, json!({"metadata": {"labels": {key: value}}}));
    let data = json!({"data": {"access_token": "bmV3"}});
    vec![
        attempt("made a share", "mallory", Create(Kind::Share, share("x")), NO_SHARES),
        attempt("made a share as administrator", ADMIN, Create(Kind::Share, share("x")), NO_SHARES),
        attempt("redirected a share", "mallory", Change(Share, redirected), NO_SHARES),
        attempt("removed a share", "gitops", Delete(Share), NO_SHARES),
        attempt(
            "labelled a Secret as published",
            "mallory",
            labelled(json!({"app.kubernetes.io/managed-by": "bowline"})),
            NO_LABEL,
        ),
        attempt(
            "labelled a Secret as another connection's",
            "mallory",
            labelled(json!({"bowline.dev/connection-uid": "1"})),
            NO_LABEL,
        ),
        attempt(
            "took a published Secret away from its connection",
            "mallory",
            label("bowline.dev/connection-uid", json!("2")),
            NO_LABEL,
        ),
        attempt(
            "hid a published Secret from the operator",
            "mallory",
            label("app.kubernetes.io/managed-by", Value::Null),
            NO_LABEL,
        ),
        attempt(
            "gave a published Secret to a workspace",
            "mallory",
            label("bowline.dev/workspace", json!("theirs")),
            NO_LABEL,
        ),
        attempt(
            "noted a later revision on a published Secret",
            "mallory",
            Change(Published, mark("bowline.dev/revision", "9")),
            NO_LABEL,
        ),
        attempt(
            "noted another grant on a published Secret",
            "mallory",
            Change(Published, mark("bowline.dev/grant-id", "0")),
            NO_LABEL,
        ),
        attempt(
            "made a record",
            "mallory",
            Create(Kind::Secret, secret("x", "bowline.dev/record", &json!({}))),
            NO_RECORD,
        ),
        attempt(
            "made an ending",
            "mallory",
            Create(Kind::Secret, secret("x", "bowline.dev/ending", &json!({}))),
            NO_RECORD,
        ),
        attempt(
            "made a note of who shared",
            "mallory",
            Create(Kind::Secret, secret("x", "bowline.dev/sharer", &json!({}))),
            NO_RECORD,
        ),
        attempt("changed a record as administrator", ADMIN, Change(Record, data), NO_RECORD),
        attempt("deleted a record", "mallory", Delete(Record), NO_RECORD),
        attempt("deleted a record as administrator", ADMIN, Delete(Record), NO_RECORD),
    ]
}

/// To use a connection without the right to use it.
fn bindings(here: impl Fn(&str) -> String) -> Vec<Attempt> {
    let bound = |id: &str| Create(Kind::Binding, binding("x", id));
    let change = |value: Value| Change(Binding, spec(value));
    vec![
        attempt("bound without the right to use it", "bob", bound(&here("mail")), NO_USE),
        attempt("bound what does not exist, to learn that", "bob", bound(&here("nonesuch")), NO_USE),
        attempt("bound what is not shared with this namespace", "bob", bound("team-z.private"), NO_USE),
        attempt("bound the operator's keyring", "bob", bound("bowline-system.bowline-keyring"), NO_USE),
        attempt("bound by the portal", PORTAL, bound(&here("mail")), NO_USE),
        attempt(
            "bound by a ServiceAccount without the right to use it",
            LOOKALIKE,
            bound(&here("mail")),
            NO_USE,
        ),
        attempt("bound by the operator", OPERATOR, bound(&here("mail")), DENIED),
        attempt(
            "pointed a binding of another at a share",
            "bob",
            change(json!({"connection": "team-z.shared"})),
            NO_USE,
        ),
        attempt(
            "gave a binding of another other settings",
            "bob",
            change(json!({"config": {"channel": "#theirs"}})),
            NO_USE,
        ),
        attempt(
            "gave a binding of another another format",
            "bob",
            change(json!({"secret": {"format": "Env"}})),
            NO_USE,
        ),
        attempt(
            "accepted a replacement for another",
            "bob",
            change(json!({"accept": {"uid": "1", "owner": "mallory"}})),
            NO_USE,
        ),
        attempt(
            "pointed a binding elsewhere as the operator",
            OPERATOR,
            change(json!({"connection": "team-z.shared"})),
            DENIED,
        ),
    ]
}

/// To end somebody's grant by deleting its connection.
fn deletions() -> Vec<Attempt> {
    vec![
        attempt("deleted by a stranger", "mallory", Delete(Hers), NOT_YOURS),
        attempt("deleted by who may only write", "bob", Delete(Hers), NOT_YOURS),
        attempt("deleted by the portal for nobody", PORTAL, Delete(Hers), NOT_YOURS),
        attempt(
            "deleted by a ServiceAccount that is called as the portal's",
            LOOKALIKE,
            Delete(Hers),
            NOT_YOURS,
        ),
        attempt("deleted by the operator", OPERATOR, Delete(Hers), DENIED),
        attempt("deleted while bindings use it, by its owner", "alice", Delete(Used), USED),
        attempt("deleted while bindings use it, by a pipeline", "gitops", Delete(Used), USED),
        attempt("deleted while bindings use it, by an administrator", ADMIN, Delete(Used), USED),
    ]
}

/// To have the operator read a Secret that one may not read.
fn named_secrets() -> Vec<Attempt> {
    let credentials = spec(json!({"credentials": {"secretName": "erp"}}));
    let app = spec(json!({"app": {"secretName": "erp"}}));
    vec![
        attempt(
            "made with credentials that its author may not read",
            "gitops",
            made("alice", &credentials),
            UNREADABLE,
        ),
        attempt("made with an app that its author may not read", "gitops", made("alice", &app), UNREADABLE),
        attempt(
            "pointed at credentials that its author may not read",
            "gitops",
            Change(Hers, credentials),
            UNREADABLE,
        ),
    ]
}

/// To have tokens published where the cluster's own components read Secrets.
fn workspaces() -> Vec<Attempt> {
    let listing = |name: &str| spec(json!({"namespaces": ["team-a", name]}));
    let made = |name: &str| Create(Kind::Workspace, merged(workspace("x"), &listing(name)));
    vec![
        attempt("listed the operator's namespace", ADMIN, made("bowline-system"), RESERVED),
        attempt("listed the portal's namespace", ADMIN, made("bowline-portal"), RESERVED),
        attempt("listed the namespace of attempts", ADMIN, made("bowline-attempts"), RESERVED),
        attempt("listed the cluster's namespace", ADMIN, made("kube-system"), RESERVED),
        attempt("added the cluster's namespace", ADMIN, Change(Workspace, listing("kube-public")), RESERVED),
    ]
}

/// To say something in two ways, or in a way that two parsers read differently.
fn malformed() -> Vec<Attempt> {
    let patch = |name, body, refusal: &'static str| attempt(name, "mallory", Malformed(Hers, body), refusal);
    vec![
        patch(
            "took it over by the second of two owners",
            r#"{"spec":{"owner":"alice","owner":"mallory"}}"#,
            "",
        ),
        patch("made the owner a list", r#"{"spec":{"owner":["mallory"]}}"#, ""),
        patch("made the owner an object", r#"{"spec":{"owner":{"name":"mallory"}}}"#, ""),
        patch("took the owner out", r#"{"spec":{"owner":null}}"#, ""),
        patch("took the spec out", r#"{"spec":null}"#, ""),
        patch(
            "shared by a text in place of a truth value",
            r#"{"spec":{"shared":"true","workspace":"w"}}"#,
            "",
        ),
        patch("shared by a number in place of a truth value", r#"{"spec":{"shared":1,"workspace":"w"}}"#, ""),
        patch("announced by a number", r#"{"metadata":{"annotations":{"bowline.dev/intake":1}}}"#, ""),
        patch(
            "let go by a text in place of a list",
            r#"{"metadata":{"finalizers":"bowline.dev/grant"}}"#,
            "",
        ),
        attempt(
            "bound everything by a star",
            "alice",
            Malformed(Binding, r#"{"spec":{"connection":"*"}}"#),
            "spec.connection",
        ),
        attempt(
            "bound nothing",
            "alice",
            Malformed(Binding, r#"{"spec":{"connection":""}}"#),
            "spec.connection",
        ),
        attempt(
            "bound by a way out of the namespace",
            "alice",
            Malformed(Binding, r#"{"spec":{"connection":"../team-z.mail"}}"#),
            "spec.connection",
        ),
        attempt(
            "bound by an id with a letter that looks like another",
            "alice",
            Malformed(Binding, "{\"spec\":{\"connection\":\"te\u{430}m-z.mail\"}}"),
            "spec.connection",
        ),
        attempt(
            "bound by an id with a dot too many",
            "alice",
            Malformed(Binding, r#"{"spec":{"connection":"team.z.mail"}}"#),
            "",
        ),
    ]
}
