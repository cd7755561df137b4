//! New connection: a name, a namespace, and optionally a workspace. The user who creates it is its owner.

use std::sync::Arc;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use bowline_api::{IntegrationConnectionSpec, IntegrationProvider};
use kube::ResourceExt;

use super::parameters::{self, Field, Values};
use super::workspace::own;
use crate::access::Question;
use crate::failure::{Failure, Reply};
use crate::page::{Frame, html};
use crate::subject::{is_label, is_name};
use crate::view::page_of;
use crate::view::provider::Card;
use crate::visit::{Fields, Form, Visit};

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
    /// Parameters that the provider leaves to connections.
    parameters: Vec<Field>,
    owner: String,
    /// What is wrong with what was typed.
    wrong: Option<String>,
    typed: Typed,
}

/// The content of the form.
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

    /// The object's name: as typed, or derived from the display name.
    fn object(&self, provider: &str) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        suggestion(if self.title.is_empty() { provider } else { &self.title })
    }

    fn flaw(&self, provider: &str) -> Option<&'static str> {
        if self.title.chars().count() > NAME_LETTERS {
            return Some("The name has more than 128 characters.");
        }
        if self.description.chars().count() > DESCRIPTION_LETTERS {
            return Some("The description has more than 1024 characters.");
        }
        if !is_label(&self.object(provider)) {
            return Some("The short name may contain lower-case letters, digits and dashes, at most 63.");
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
pub(crate) async fn page(visit: Visit, Path(provider): Path<String>) -> Reply {
    form(&visit, &*found(&visit, &provider)?, None, Typed::default()).await
}

/// `POST /new/{provider}`
pub(crate) async fn make(Path(provider): Path<String>, sent: Form) -> Reply {
    let Form { visit, fields } = sent;
    let object = found(&visit, &provider)?;
    let typed = Typed::read(&fields, &object);
    let flaw = typed.flaw(&provider).map(ToOwned::to_owned).or_else(|| flawed_fields(&object, &typed));
    if flaw.is_some() {
        return form(&visit, &object, flaw, typed).await;
    }
    let (namespace, name) = (typed.namespace.clone(), typed.object(&provider));
    let question = Question::connection("create", &namespace, "");
    if !visit.app.access.allows_now(&visit.session, question).await? {
        let flaw = format!("You are not allowed to create connections in {namespace}.");
        return form(&visit, &object, Some(flaw), typed).await;
    }
    let spec = typed.spec(&provider, visit.session.user());
    match visit.app.writer.create(&visit.session, &namespace, &name, spec).await {
        Ok(_) => Ok(Redirect::to(&page_of(&namespace, &name)).into_response()),
        Err(failure) if failure.status.is_client_error() => {
            form(&visit, &object, Some(failure.what), typed).await
        }
        Err(failure) => Err(failure),
    }
}

fn found(visit: &Visit, provider: &str) -> Result<Arc<IntegrationProvider>, Failure> {
    visit.app.cluster.provider(provider).ok_or_else(Failure::not_found)
}

/// Names the fields that show what is wrong with them.
fn flawed_fields(provider: &IntegrationProvider, typed: &Typed) -> Option<String> {
    let fields = parameters::fields(provider, &typed.parameters, true);
    let wrong = fields.iter().filter(|field| field.wrong.is_some()).map(|field| field.label.as_str());
    let wrong = wrong.collect::<Vec<_>>().join(", ");
    (!wrong.is_empty()).then(|| format!("Check {wrong} again."))
}

async fn form(visit: &Visit, provider: &IntegrationProvider, wrong: Option<String>, typed: Typed) -> Reply {
    let card = Card::of(provider);
    Ok(html(&MakePage {
        frame: Frame::of(visit, &format!("Connect {}", card.title), "new").await,
        namespaces: namespaces(visit).await?,
        workspaces: own(visit),
        owner: visit.session.user().to_owned(),
        parameters: parameters::fields(provider, &typed.parameters, wrong.is_some()),
        suggested: suggestion(&card.title),
        card,
        wrong,
        typed,
    }))
}

/// Namespaces in which the user may create connections.
async fn namespaces(visit: &Visit) -> Result<Vec<String>, Failure> {
    let all = visit.app.cluster.namespaces.state();
    let lasting = all.iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
    let mut names: Vec<String> = lasting.map(|namespace| namespace.name_any()).collect();
    names.sort();
    visit.filter(names, |namespace| Question::connection("create", namespace, "")).await
}

/// An object name derived from a display name.
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
