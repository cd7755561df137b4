//! alice consents: once in a browser, through the portal; once with a code that she types on another device.

use std::process::{Output, Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use url::Url;

use super::{
    CONNECTION, OWNER, SECOND, SECOND_ACCOUNT, TEAM,
    story::{SOON, Story, is, said, unexpected},
};
use crate::{
    browser::Browser,
    error::Error,
    objects::{condition, path},
    sandbox::{Entry, Event, GrantType, TokenKind},
    wait::wait_for,
};

/// A code that waits to be typed, and the command that waits for it.
pub(super) struct ShownCode {
    command: Child,
    /// Kept open for what it still prints.
    _output: Lines<BufReader<ChildStdout>>,
    address: Url,
    code: String,
}

impl Story<'_> {
    /// In her browser.
    pub(super) async fn signed_in(&self) -> Result<(String, Browser), Error> {
        let (browser, how) = self.portal.browser_of(self.stage.cluster(), OWNER).await?;
        Ok((format!("{OWNER} at the portal, {how}"), browser))
    }

    /// From the connection's page to the review page, to the provider, and back by its redirect.
    pub(super) async fn consented(&self, browser: &Browser) -> Result<String, Error> {
        let home = self.connection_page();
        let page = browser.open(home.clone()).await?;
        let review = browser.follow(&page, "connect").await?;
        let leaving = browser.submit(&review, &review.form("/start")?).await?;
        let consent = browser.go_on(&leaving).await?;
        if !consent.address.as_str().starts_with(&self.realm.issuer()) {
            return Err(consent.lacks("consent page of the sandbox"));
        }
        let form = consent.form("/authorize/decision")?;
        let scopes = form.names_after("scope:").join(", ");
        let back = browser.submit(&consent, &form.with("account", OWNER)).await?;
        if back.address != home {
            return Err(back.lacks("page of the connection"));
        }
        Ok(format!("portal → the sandbox's page, which asks for {scopes} → allowed → back at the portal"))
    }

    /// What the operator did with it: the one code was exchanged once. Returns the grant.
    pub(super) async fn authorized(&self, browser: &Browser) -> Result<(String, String), Error> {
        let object = self
            .connection(CONNECTION, "the connection is active", |object| {
                is(object, "Authorized", "True") && object["status"]["phase"] == "Active"
            })
            .await?;
        wait_for("the portal says that it is connected", SOON, async || {
            let page = browser.open(self.connection_page()).await.map_err(said)?;
            page.says("Connected").then_some(()).ok_or_else(|| said(page.lacks("word of that")))
        })
        .await?;
        let ledger = self.realm.ledger();
        let is_code =
            |entry: &&Entry| entry.token.as_ref().is_some_and(|token| token.kind == TokenKind::Code);
        let spent: Vec<_> = ledger.of(Event::Spent).filter(is_code).collect();
        let grant = match spent[..] {
            [one] => one.grant.clone(),
            _ => None,
        };
        let grant = grant.ok_or_else(|| {
            unexpected("the sandbox's ledger", format!("{} codes exchanged, not one", spent.len()))
        })?;
        let account = object["status"]["account"]["id"].as_str().unwrap_or("?");
        Ok((
            format!("code exchanged once; account {account}, phase Active; the portal says Connected"),
            grant,
        ))
    }

    /// The second connection, from a terminal.
    pub(super) async fn code_shown(&self) -> Result<(String, ShownCode), Error> {
        let failed = || Error::io("run", &self.binaries.plugin);
        let mut command = self
            .plugin(OWNER, &["connect", SECOND, "--device", "--namespace", TEAM])?
            .spawn()
            .map_err(failed())?;
        let output = command.stdout.take().ok_or_else(|| unexpected("the plug-in", "no output".into()))?;
        let mut lines = BufReader::new(output).lines();
        let (mut address, mut code) = (None, None);
        while address.is_none() || code.is_none() {
            let Some(line) = lines.next_line().await.map_err(failed())? else { break };
            let value = |label: &str| line.strip_prefix(label).map(|rest| rest.trim().to_owned());
            address = address.or_else(|| value("Open:"));
            code = code.or_else(|| value("Code:"));
        }
        let (Some(address), Some(code)) = (address, code) else {
            let output = command.wait_with_output().await.map_err(failed())?;
            return Err(plugin_failed("connect --device", &output));
        };
        let parsed = Url::parse(&address).map_err(|_| unexpected("the device page", address.clone()))?;
        let what = format!("kubectl bowline connect {SECOND} --device: type {code} at {address}");
        Ok((what, ShownCode { command, _output: lines, address: parsed, code }))
    }

    /// On a device that does not know alice's session. Nothing is published: a code does not prove who typed it.
    pub(super) async fn code_typed(&self, shown: ShownCode) -> Result<String, Error> {
        let phone = Browser::new()?;
        let page = phone.open(shown.address).await?;
        let form = page.form("/device/decision")?.with("user_code", &shown.code);
        let done = phone.submit(&page, &form.with("account", SECOND_ACCOUNT)).await?;
        if !done.says("Done.") {
            return Err(done.lacks("word that the code is taken"));
        }
        self.connection(SECOND, "the second connection waits for its owner's word", |object| {
            condition(object, "Authorized").is_some_and(|it| it["reason"] == "AwaitingConfirmation")
        })
        .await?;
        let output = shown.command.wait_with_output().await.map_err(Error::io("wait for", "the plug-in"))?;
        let asked = String::from_utf8_lossy(&output.stderr);
        if !asked.contains(&format!("--accept-account {SECOND_ACCOUNT}")) {
            return Err(plugin_failed("connect --device", &output));
        }
        if let Ok(secret) = self.look(&path::secret(TEAM, SECOND)).await {
            return Err(unexpected("the unconfirmed Secret", secret["metadata"]["name"].to_string()));
        }
        Ok(format!(
            "account {SECOND_ACCOUNT}; AwaitingConfirmation, and no Secret before {OWNER} says it is hers"
        ))
    }

    /// alice confirms that it is the account she meant.
    pub(super) async fn account_confirmed(&self) -> Result<String, Error> {
        let confirm = ["connect", SECOND, "--accept-account", SECOND_ACCOUNT, "--namespace", TEAM];
        self.plugin_succeeds(OWNER, &confirm).await?;
        let seen = wait_for("the second Secret holds a fresh token", SOON, async || {
            self.fresh(&path::secret(TEAM, SECOND)).await
        })
        .await?;
        let by_device = |entry: &&Entry| entry.grant_type == Some(GrantType::DeviceCode);
        if self.realm.ledger().of(Event::Issued).filter(by_device).count() == 0 {
            return Err(unexpected("the sandbox's ledger", "no grant by device flow".into()));
        }
        Ok(format!("phase Active; {TEAM}/{SECOND}: access_token {}", seen.shown()))
    }

    /// Runs the plug-in until it is done.
    pub(super) async fn plugin_succeeds(&self, who: &str, arguments: &[&str]) -> Result<(), Error> {
        let output = self.plugin(who, arguments)?.output().await;
        let output = output.map_err(Error::io("run", &self.binaries.plugin))?;
        output.status.success().then_some(()).ok_or_else(|| plugin_failed(&arguments.join(" "), &output))
    }

    /// The plug-in, without a terminal for questions.
    fn plugin(&self, who: &str, arguments: &[&str]) -> Result<Command, Error> {
        let mut command = Command::new(&self.binaries.plugin);
        command
            .args(arguments)
            .env("KUBECONFIG", self.stage.cluster().kubeconfig_for(who)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    pub(super) fn connection_page(&self) -> Url {
        self.portal.page(&format!("/connections/{TEAM}/{CONNECTION}"))
    }
}

fn plugin_failed(arguments: &str, output: &Output) -> Error {
    Error::Plugin {
        arguments: arguments.to_owned(),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
