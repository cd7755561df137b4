//! Notifications: `CloudEvents` 1.0 in structured JSON over HTTP, to the one receiver that an administrator named.
//!
//! Nothing waits for the receiver: what is told goes into a bounded queue, and one task delivers it, in order, with retries. What
//! is told says which connection, and never contains a secret, an account, a user or a provider's words.

mod event;
mod signature;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bowline_oauth::http::{Http, HttpClient, HttpClientError, Request};
use bowline_oauth::network::Network;
use bowline_runtime::clock::Clock;
use bowline_runtime::telemetry::chain;
use http::{Method, StatusCode, header};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use event::Notification;

use crate::metrics::{Metrics, NotificationOutcome};

/// How many wait for delivery at most.
const QUEUED: usize = 1000;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(5);
/// For how long a notification is tried.
const TRIED_FOR: Duration = Duration::from_hours(1);
/// For how long what waits is sent when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(3);
const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Where notifications go, as an administrator chose.
#[derive(Clone, Debug)]
pub struct NotifySettings {
    /// Its path or query may be a secret: it is never shown.
    pub url: SecretUrl,
    /// The file with the secret that signs each request. Read for each, so that it can be replaced.
    pub secret_file: Option<PathBuf>,
    /// PEM with certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    pub allow_http: bool,
}

/// An address that `Debug` does not show.
#[derive(Clone)]
pub struct SecretUrl(pub Url);

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretUrl")
    }
}

/// Notifications cannot be sent as the flags say.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error("{path} cannot be read", path = .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the file of --notify-secret-file is empty, or begins with whsec_ and is no base64")]
    Secret,
    #[error(transparent)]
    Client(#[from] HttpClientError),
}

/// Takes what is to be told. Without a receiver it is dropped.
#[derive(Clone)]
pub(crate) struct Notifications {
    queue: Option<mpsc::Sender<Notification>>,
    metrics: Arc<Metrics>,
}

impl Notifications {
    /// Takes it at once: never waits.
    pub(crate) fn tell(&self, notification: Notification) {
        let Some(queue) = &self.queue else { return };
        let type_ = notification.type_;
        if let Err(error) = queue.try_send(notification) {
            let id = error.into_inner().id;
            tracing::error!(id, "a notification was dropped: too many wait for their receiver");
            self.metrics.notified(type_, NotificationOutcome::Dropped);
        }
    }
}

/// Delivers what is told.
pub(crate) struct NotificationDelivery {
    queue: mpsc::Receiver<Notification>,
    client: HttpClient,
    settings: NotifySettings,
    /// The cluster, as the `source` of all events.
    source: String,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// Both ends; without settings what is told goes nowhere. `cluster` is the UID of its namespace `kube-system`. Reads the files once, so that a wrong one is known at the start.
pub(crate) fn open(
    settings: Option<NotifySettings>,
    cluster: &str,
    metrics: Arc<Metrics>,
    clock: Clock,
) -> Result<(Notifications, Option<NotificationDelivery>), NotifyError> {
    let Some(settings) = settings else { return Ok((Notifications { queue: None, metrics }, None)) };
    secret(&settings)?;
    let ca_certificates = settings
        .ca_file
        .as_ref()
        .map(|path| std::fs::read(path).map_err(|source| NotifyError::File { path: path.clone(), source }));
    // An administrator chose the receiver, which may be in the cluster. The guard refuses the metadata addresses of clouds
    // and link-local ones all the same.
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|all| all.parse().ok());
    let network = Network {
        allow_http: settings.allow_http,
        allowed_cidrs: anywhere.collect(),
        ca_certificates: ca_certificates.transpose()?,
        proxy: None,
    };
    let client = HttpClient::new(network)?;
    let (sender, queue) = mpsc::channel(QUEUED);
    let told = Notifications { queue: Some(sender), metrics: Arc::clone(&metrics) };
    let source = format!("urn:uuid:{cluster}");
    Ok((told, Some(NotificationDelivery { queue, client, settings, source, metrics, clock })))
}

fn secret(settings: &NotifySettings) -> Result<Option<SecretString>, NotifyError> {
    let Some(path) = &settings.secret_file else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).map_err(|source| NotifyError::File { path: path.clone(), source })?;
    let secret = SecretString::from(text.trim());
    signature::key(&secret).ok_or(NotifyError::Secret)?;
    Ok(Some(secret))
}

/// What one request came to.
enum ReceiverAnswer {
    Taken,
    /// It may be taken later; why not now.
    Later(String),
    /// It will not be taken.
    Refused(String),
}

impl NotificationDelivery {
    /// Delivers until `stop`. What waits then is sent once more, without retries and for a few seconds: a receiver that does not
    /// answer must not hold up the end.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let over = async {
            stop.cancelled().await;
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            () = self.deliver_all(&stop) => return,
            () = over => {}
        }
        let waiting = self.queue.len();
        tracing::error!(
            waiting,
            "the receiver did not take a notification in time, and those that wait are lost"
        );
    }

    /// Returns when all are delivered after `stop`.
    async fn deliver_all(&mut self, stop: &CancellationToken) {
        while let Some(Some(next)) = stop.run_until_cancelled(self.queue.recv()).await {
            self.deliver(&next, stop).await;
        }
        stop.cancelled().await;
        while let Ok(next) = self.queue.try_recv() {
            self.deliver(&next, stop).await;
        }
    }

    async fn deliver(&self, notification: &Notification, stop: &CancellationToken) {
        let (id, begun) = (notification.id.as_str(), Instant::now());
        let mut delay = FIRST_DELAY;
        let why = loop {
            match self.send(notification).await {
                ReceiverAnswer::Taken => {
                    tracing::info!(id, "a notification was delivered");
                    return self.metrics.notified(notification.type_, NotificationOutcome::Delivered);
                }
                ReceiverAnswer::Refused(why) => break why,
                ReceiverAnswer::Later(why) if stop.is_cancelled() || begun.elapsed() >= TRIED_FOR => {
                    break why;
                }
                ReceiverAnswer::Later(why) => {
                    tracing::warn!(id, why, "a notification was not delivered yet");
                    self.metrics.notified(notification.type_, NotificationOutcome::Retried);
                }
            }
            let _ = stop.run_until_cancelled(sleep(delay)).await;
            delay = LONGEST_DELAY.min(delay * 2);
        };
        tracing::error!(id, why, "a notification was given up");
        self.metrics.notified(notification.type_, NotificationOutcome::GivenUp);
    }

    async fn send(&self, notification: &Notification) -> ReceiverAnswer {
        let request = match self.request(notification) {
            Ok(request) => request,
            Err(why) => return ReceiverAnswer::Later(why),
        };
        match self.client.send(request).await {
            Ok(answer) if answer.status.is_success() => ReceiverAnswer::Taken,
            Ok(answer) => refusal(answer.status),
            Err(error) => ReceiverAnswer::Later(chain(&error).to_string()),
        }
    }

    fn request(&self, notification: &Notification) -> Result<Request, String> {
        let body = notification.body(&self.source);
        let at = self.clock.now().as_second().to_string();
        let secret = secret(&self.settings).map_err(|error| chain(&error).to_string())?;
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(self.settings.url.0.as_str())
            .header(header::CONTENT_TYPE, MEDIA_TYPE)
            .header(signature::ID, &notification.id)
            .header(signature::TIMESTAMP, &at);
        if let Some(signed) = secret.and_then(|secret| signature::sign(&secret, &notification.id, &at, &body))
        {
            request = request.header(signature::SIGNATURE, signed);
        }
        request.body(body).map_err(|_| "the address cannot be used".to_owned())
    }
}

fn refusal(status: StatusCode) -> ReceiverAnswer {
    let why = format!("the receiver answered {}", status.as_u16());
    let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_server_error() || passes.contains(&status) {
        ReceiverAnswer::Later(why)
    } else {
        ReceiverAnswer::Refused(why)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bowline_api::reason::Reason;
    use k8s_openapi::jiff::Timestamp;

    use super::event::tests::notification;
    use super::*;
    use crate::metrics::NotificationType;

    fn settings(secret_file: Option<PathBuf>) -> NotifySettings {
        let url = SecretUrl("http://127.0.0.1:1/hook".parse().unwrap());
        NotifySettings { url, secret_file, ca_file: None, allow_http: true }
    }

    #[test]
    fn statuses_that_pass_are_tried_again_and_others_are_not() {
        for (status, again) in [
            (400, false),
            (401, false),
            (404, false),
            (410, false),
            (301, false),
            (408, true),
            (429, true),
            (500, true),
            (503, true),
        ] {
            let answer = refusal(StatusCode::from_u16(status).unwrap());
            assert_eq!(matches!(answer, ReceiverAnswer::Later(_)), again, "{status}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_what_comes_and_counts_it() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = Arc::new(Metrics::new(0).unwrap());
        let (told, delivery) =
            open(Some(settings(None)), "c", Arc::clone(&metrics), Clock::default()).unwrap();
        let one = notification(NotificationType::NeedsYou, Some(Reason::GrantExpired), Timestamp::UNIX_EPOCH);
        for _ in 0..=QUEUED {
            told.tell(one.clone());
        }
        let text = metrics.encode().unwrap();
        let line = r#"bowline_notifications_total{outcome="dropped",type="needs-you"} 1"#;
        assert!(text.lines().any(|found| found == line), "{text}");
        drop(delivery);
    }

    /// It accepts connections and never answers: each request would take 20 seconds.
    #[tokio::test]
    async fn a_receiver_that_does_not_answer_holds_up_no_end() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let silent = NotifySettings { url: SecretUrl(url), ..settings(None) };
        let metrics = Arc::new(Metrics::new(0).unwrap());
        let (told, delivery) = open(Some(silent), "c", metrics, Clock::default()).unwrap();
        for _ in 0..3 {
            told.tell(notification(NotificationType::Recovered, None, Timestamp::UNIX_EPOCH));
        }
        let (stop, begun) = (CancellationToken::new(), Instant::now());
        let delivering = tokio::spawn(delivery.unwrap().run(stop.clone()));
        let (accepted, _) = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
        stop.cancel();
        delivering.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
        drop(accepted);
    }

    #[test]
    fn a_secret_that_cannot_be_used_is_known_at_the_start() {
        let missing = open(
            Some(settings(Some("/nonexistent/secret".into()))),
            "c",
            Arc::new(Metrics::new(0).unwrap()),
            Clock::default(),
        );
        assert!(matches!(missing, Err(NotifyError::File { .. })));
    }

    #[test]
    fn the_address_is_not_shown() {
        assert!(!format!("{:?}", settings(None)).contains("127.0.0.1"));
    }
}
