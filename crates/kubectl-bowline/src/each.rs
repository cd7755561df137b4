//! The same change of several connections, one after the other. One that fails stops no other.

use anyhow::bail;
use kube::ResourceExt;

use crate::change;
use crate::screen::Paint;
use crate::table::{Cell, Table};
use crate::{Screen, UserSession};
use bowline_api::IntegrationConnection;
use bowline_api::change::ConnectionChange;

const HEADING: &[&str] = &["NAMESPACE", "CONNECTION", "RESULT", "WHY"];

/// What became of one connection.
struct Handled {
    namespace: String,
    name: String,
    result: Result<Handling, String>,
}

enum Handling {
    Done,
    /// It was so before.
    Unchanged,
}

/// Changes each and lists what became of it; an error if one is as it was.
pub(crate) async fn carry_out_each(
    session: &UserSession,
    screen: &mut Screen,
    change: &ConnectionChange,
    connections: impl IntoIterator<Item = &IntegrationConnection>,
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut handled = Vec::new();
    for connection in connections {
        handled.push(handle(session, change, connection, dry_run).await);
    }
    screen.result(&Table::fit(HEADING, &rows(&handled, change, dry_run), screen.colours()).1)?;
    if dry_run {
        screen.progress("Nothing was changed.");
    }
    match handled.iter().filter(|it| it.result.is_err()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} connections are as they were", handled.len()),
    }
}

async fn handle(
    session: &UserSession,
    change: &ConnectionChange,
    connection: &IntegrationConnection,
    dry_run: bool,
) -> Handled {
    let result = if change.applies_to(connection) {
        let carried_out = change::carry_out(change, session, connection, dry_run).await;
        carried_out.map(|()| Handling::Done).map_err(|error| error.to_string())
    } else {
        Ok(Handling::Unchanged)
    };
    Handled { namespace: connection.namespace().unwrap_or_default(), name: connection.name_any(), result }
}

fn rows(handled: &[Handled], change: &ConnectionChange, dry_run: bool) -> Vec<Vec<Cell>> {
    let row = |Handled { namespace, name, result }: &Handled| {
        let (said, paint) = match result {
            Ok(Handling::Done) if dry_run => (format!("would be {}", change.done()), Paint::Good),
            Ok(Handling::Done) => (change.done(), Paint::Good),
            Ok(Handling::Unchanged) => ("nothing to change".to_owned(), Paint::Calm),
            Err(_) => ("refused".to_owned(), Paint::Bad),
        };
        let why = Cell::some(result.as_ref().err());
        vec![Cell::new(namespace), Cell::new(name), Cell::new(said).painted(Some(paint)), why]
    };
    handled.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_listed_with_what_became_of_it() {
        let of =
            |name: &str, result| Handled { namespace: "team-a".to_owned(), name: name.to_owned(), result };
        let handled = [
            of("mail", Ok(Handling::Done)),
            of("chat", Err("not yours".to_owned())),
            of("code", Ok(Handling::Unchanged)),
        ];
        let change = ConnectionChange::Transfer("bob".to_owned());
        let text = Table::fit(HEADING, &rows(&handled, &change, false), false).1;
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["team-a", "mail", "transferred", "to", "bob", "<none>"]);
        assert_eq!(lines[2], ["team-a", "chat", "refused", "not", "yours"]);
        assert_eq!(lines[3], ["team-a", "code", "nothing", "to", "change", "<none>"]);
        assert!(
            Table::fit(HEADING, &rows(&handled, &change, true), false).1.contains("would be transferred")
        );
    }
}
