//! New connection: a name, where it lives, and perhaps a workspace. The owner is who makes it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use bowline_api::{IntegrationConnectionSpec, IntegrationProvider};
use kube::ResourceExt;

use super::super::App;
use super::super::access::Question;
use super::super::failure::Failure;
use super::super::form::{Act, Fields, SignedIn};
use super::super::session::Session;
use super::super::view::provider::Card;
use super::parameters::{self, Field, Values};
use super::subject::{is_label, is_name};
use super::workspace::is_member;
use super::{Frame, html};

const NAME_LETTERS: usize = 128;
const DESCRIPTION_LETTERS: usize = 1024;

#[derive(Template)]
#[template(path = "make.html")]
struct MakePage {
    frame: Frame,
    card: Card,
    namespaces: Vec<String>,
    workspaces: Vec<String>,
    suggested: String,
    /// What the provider leaves to each connection.
    parameters: Vec<Field>,
    owner: String,
    /// What was wrong, and what was typed.
    wrong: Option<String>,
    typed: Typed,
}

/// What somebody typed.
#[derive(Clone, Debug, Default)]
struct Typed {
    title: String,
    name: String,
    namespace: String,
    workspace: String,
    description: String,
    parameters: Values,
}

impl Typed {
    fn read(fields: &Fields, provider: &IntegrationProvider) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            title: text("title"),
            name: text("name"),
            namespace: text("namespace"),
            workspace: text("workspace"),
            description: text("description"),
            parameters: parameters::typed(provider, fields),
        }
    }

    /// The name of the object: as typed, or made from the name for people.
    fn object(&self, provider: &str) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        suggestion(if self.title.is_empty() { provider } else { &self.title })
    }

    fn flaw(&self, provider: &str) -> Option<&'static str> {
        if self.title.chars().count() > NAME_LETTERS {
            return Some("The name has more than 128 letters.");
        }
        if self.description.chars().count() > DESCRIPTION_LETTERS {
            return Some("The description has more than 1024 letters.");
        }
        if !is_label(&self.object(provider)) {
            return Some("The short name holds small letters, digits and dashes, 63 at most.");
        }
        if !is_label(&self.namespace) {
            return Some("Choose a namespace.");
        }
        (!self.workspace.is_empty() && !is_name(&self.workspace))
            .then_some("Choose a workspace from the list.")
    }

    fn spec(&self, provider: &str, owner: &str) -> IntegrationConnectionSpec {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        IntegrationConnectionSpec {
            provider: provider.to_owned(),
            owner: owner.to_owned(),
            workspace: filled(&self.workspace),
            display_name: filled(&self.title),
            description: filled(&self.description),
            shared: None,
            scopes: Vec::new(),
            suspend: None,
            disconnect: None,
            method: None,
            parameters: self.parameters.clone(),
            credentials: None,
            app: None,
            account: None,
            secret: None,
        }
    }
}

/// `GET /new/{provider}`
pub async fn page(
    State(app): State<App>,
    SignedIn(session): SignedIn,
    Path(provider): Path<String>,
) -> Result<Response, Failure> {
    form(&app, &session, &provider, None, Typed::default()).await
}

/// `POST /new/{provider}`
pub async fn make(
    State(app): State<App>,
    Path(provider): Path<String>,
    act: Act,
) -> Result<Response, Failure> {
    let Act { session, fields } = act;
    let object = app.cluster.provider(&provider).ok_or_else(Failure::not_found)?;
    let typed = Typed::read(&fields, &object);
    let flaw = typed.flaw(&provider).map(ToOwned::to_owned);
    let flaw = flaw.or_else(|| parameters::flawed(&object, &typed.parameters).map(|fields| which(&fields)));
    if flaw.is_some() {
        return form(&app, &session, &provider, flaw, typed).await;
    }
    let (namespace, name) = (typed.namespace.clone(), typed.object(&provider));
    let question = Question::connection("create", &namespace, "");
    if !app.access.allows_now(&session, question).await? {
        let flaw = format!("You may not make connections in {namespace}.");
        return form(&app, &session, &provider, Some(flaw), typed).await;
    }
    let spec = typed.spec(&provider, session.user());
    match app.writer.create(&session, &namespace, &name, spec).await {
        Ok(_) => Ok(Redirect::to(&format!("/connections/{namespace}/{name}")).into_response()),
        Err(failure) if failure.status().is_client_error() => {
            let what = failure.what().to_owned();
            form(&app, &session, &provider, Some(what), typed).await
        }
        Err(failure) => Err(failure),
    }
}

/// Leads from the top of the page to the fields that say what is wrong with them.
fn which(fields: &[Field]) -> String {
    let wrong = fields.iter().filter(|field| field.wrong.is_some()).map(|field| field.label.as_str());
    format!("Look at {} again.", wrong.collect::<Vec<_>>().join(", "))
}

async fn form(
    app: &App,
    session: &Session,
    provider: &str,
    wrong: Option<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let object = app.cluster.provider(provider).ok_or_else(Failure::not_found)?;
    let card = Card::of(&object);
    let suggested = suggestion(&card.title);
    let frame = Frame::of(app, session, &format!("Connect {}", card.title), "new").await;
    let page = MakePage {
        frame,
        namespaces: namespaces(app, session).await?,
        workspaces: workspaces(app, session),
        owner: session.user().to_owned(),
        parameters: parameters_of(&object, wrong.is_some(), &typed),
        card,
        suggested,
        wrong,
        typed,
    };
    Ok(html(&page))
}

/// The fields; once something was sent, with what is wrong about it.
fn parameters_of(provider: &IntegrationProvider, sent: bool, typed: &Typed) -> Vec<Field> {
    let flawed = sent.then(|| parameters::flawed(provider, &typed.parameters)).flatten();
    flawed.unwrap_or_else(|| parameters::fields(provider, &typed.parameters))
}

/// Namespaces in which the reader may make connections.
async fn namespaces(app: &App, session: &Session) -> Result<Vec<String>, Failure> {
    let ending = |namespace: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        namespace.deletion_timestamp.is_some()
    };
    let all = app.cluster.namespaces.state();
    let mut names: Vec<String> = all
        .iter()
        .filter(|namespace| !ending(&namespace.metadata))
        .map(|namespace| namespace.name_any())
        .collect();
    names.sort();
    app.access.filter(session, names, |namespace| Question::connection("create", namespace, "")).await
}

/// Workspaces that the reader is a member of.
pub fn workspaces(app: &App, session: &Session) -> Vec<String> {
    let all = app.cluster.workspaces.state();
    let mine = all.iter().filter(|workspace| is_member(workspace, session));
    let mut names: Vec<String> = mine.map(|workspace| workspace.name_any()).collect();
    names.sort();
    names
}

/// A name for Kubernetes, made from one for people.
fn suggestion(title: &str) -> String {
    let letters = title
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect::<String>();
    let words: Vec<&str> = letters.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(63).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_for_people_becomes_one_for_kubernetes() {
        for (title, name) in [("GitHub (work)", "github-work"), ("  Ärger & Co ", "rger-co"), ("a__b", "a-b")]
        {
            assert_eq!(suggestion(title), name);
        }
        assert!(is_label(&suggestion(&"x y ".repeat(100))));
    }

    #[test]
    fn what_cannot_be_a_connection_is_said_before_it_is_tried() {
        let good = Typed { title: "Work".into(), namespace: "team-a".into(), ..Typed::default() };
        assert_eq!(good.flaw("github"), None);
        for (typed, about) in [
            (Typed { title: "x".repeat(129), ..good.clone() }, "128"),
            (Typed { name: "Not a name".into(), ..good.clone() }, "short name"),
            (Typed { title: "!!!".into(), ..good.clone() }, "short name"),
            (Typed { namespace: String::new(), ..good.clone() }, "namespace"),
            (Typed { workspace: "a/b".into(), ..good.clone() }, "workspace"),
            (Typed { description: "x".repeat(1025), ..good.clone() }, "1024"),
        ] {
            assert!(typed.flaw("github").is_some_and(|flaw| flaw.contains(about)), "{typed:?}");
        }
    }
}
