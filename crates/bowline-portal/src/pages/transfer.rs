//! Gives a connection to another owner: shows what ends, who loses it and what stays, then asks who the new owner is.

use askama::Template;
use axum::response::{IntoResponse, Redirect};
use bowline_api::change::ConnectionChange;

use super::bindings::{self, BindingList};
use crate::error::{PageError, Reply};
use crate::offboarding::{LeavingRights, affects_others, carry_out, shown};
use crate::page::{Frame, html};
use crate::subject::{Subject, SubjectForm, need};

#[derive(Template)]
#[template(path = "transfer.html")]
struct TransferPage {
    frame: Frame,
    subject: Subject,
    /// What follows, in words.
    consequences: String,
    /// Where its Secrets are removed, as `NAMESPACE/NAME`.
    secrets: Vec<String>,
    bindings: BindingList,
    /// The tool that would set the former owner again.
    keeper: Option<String>,
    /// Whether its name must be typed: others are affected.
    by_name: bool,
    seen: String,
    /// The new owner, as typed.
    to: String,
    /// Why nothing was changed.
    problem: Option<&'static str>,
}

/// `GET …/transfer`
pub(crate) async fn page(subject: Subject) -> Reply {
    may_transfer(&subject).await?;
    show(subject, "", None).await
}

/// `POST …/transfer`
pub(crate) async fn transfer(form: SubjectForm) -> Reply {
    let SubjectForm { subject, fields } = form;
    may_transfer(&subject).await?;
    let to = fields.text("to").to_owned();
    let by_name = affects_others(&subject.visit, &subject.connection);
    let problem = match to.as_str() {
        "" => Some("Say who the new owner is."),
        to if to == subject.connection.spec.owner => Some("That user is the owner already."),
        _ if by_name && fields.text("name") != subject.name => Some("That is not its name."),
        _ => None,
    };
    if problem.is_some() {
        return show(subject, &to, problem).await;
    }
    let change = ConnectionChange::Transfer(to);
    carry_out(&subject.visit, &subject.connection, fields.text("seen"), &change).await?;
    Ok(Redirect::to(&subject.page()).into_response())
}

async fn may_transfer(subject: &Subject) -> Result<(), PageError> {
    let change = ConnectionChange::Transfer(String::new());
    let rights = LeavingRights::of(&subject.visit, &subject.connection, false).await?;
    let refusal = rights.refusal(&change, &subject.connection);
    need(refusal.is_none(), refusal.as_deref().unwrap_or_default())
}

async fn show(subject: Subject, to: &str, problem: Option<&'static str>) -> Reply {
    let change = ConnectionChange::Transfer("the new owner".to_owned());
    let frame = Frame::of(&subject.visit, &format!("Transfer {}", subject.title()), "connections").await;
    Ok(html(&TransferPage {
        frame,
        consequences: change.consequences(&subject.connection),
        secrets: super::offboard::secrets(&subject.visit, &subject.connection),
        bindings: bindings::of(&subject).await?,
        keeper: subject.keeper("owner"),
        by_name: affects_others(&subject.visit, &subject.connection),
        seen: shown(&subject.visit, &subject.connection),
        to: to.to_owned(),
        problem,
        subject,
    }))
}
