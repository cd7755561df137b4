//! How fast one user and one address may send requests, and that nobody is slowed down by somebody else.

use bowline_portal::testing::{ACTIONS, REQUESTS};
use bowline_testbed::sandbox::Rotation;
use futures::future::join_all;

use super::browser::Page;
use super::house::Portal;
use crate::scene::scene;

/// A test sends this many times the first burst before it gives up. Buckets refill while a slow machine answers: no single
/// request is certain to be refused, but on any machine that answers faster than they refill, one of many is.
const PATIENCE: usize = 8;
/// Concurrent requests.
const AT_ONCE: usize = 50;

/// Sends until a request is refused: how many were accepted before, and the refusal.
async fn flood(most: usize, at_once: usize, send: impl AsyncFn() -> Page) -> Option<(usize, Page)> {
    let mut let_through = 0;
    while let_through < most {
        let answers = join_all((0..at_once).map(|_| send())).await;
        let_through += answers.iter().filter(|answer| answer.status != 429).count();
        if let Some(refused) = answers.into_iter().find(|answer| answer.status == 429) {
            return Some((let_through, refused));
        }
    }
    None
}

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn one_users_changes_are_limited_and_nobody_elses() {
    let it = scene("changes").await;
    let portal = Portal::start(&it, &[]).await;
    let [carol, bob] = [portal.browser_of(&it, "carol").await, portal.browser_of(&it, "bob").await];
    let path = format!("/connections/{}/absent/refresh", it.namespace);
    let (page, bobs) = (carol.get("/connections").await, bob.get("/connections").await);

    // Forms that a foreign page sends in her name use up nothing.
    let burst = usize::try_from(ACTIONS.burst).unwrap();
    let forged = async || carol.post(&path, &[("form", "guess")]).await;
    assert!(flood(burst, 10, forged).await.is_none());
    let change = async || carol.submit(&page, &path, &[]).await;
    let (let_through, refused) = flood(PATIENCE * burst, 5, change).await.expect("a limit");
    assert!(let_through >= burst, "{let_through} changes in a row are what a person may do");
    assert!(refused.says("too many changes within a minute"), "{}", refused.text);

    let another = portal.browser_of(&it, "carol").await;
    let page = another.get("/connections").await;
    let change = async || another.submit(&page, &path, &[]).await;
    let (let_through, _) = flood(burst, 5, change).await.expect("a new session is the same user");
    assert!(let_through < burst, "{let_through}: the same bucket");
    assert_eq!(bob.submit(&bobs, &path, &[]).await.status, 404, "bob's request is accepted");
    assert_eq!(carol.get("/connections").await.status, 200, "carol may still look");
}

/// Behind a proxy that is not named all of them come from one address.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_10_a_flood_of_strangers_locks_nobody_out_who_is_signed_in() {
    let it = scene("requests").await;
    let portal = Portal::start(&it, &[]).await;
    let bob = portal.browser_on("127.0.0.2");
    assert_eq!(bob.get("/sign-in").await.status, 200);
    let [carol, alice] = [portal.browser_of(&it, "carol").await, portal.browser_of(&it, "alice").await];
    let burst = usize::try_from(REQUESTS.burst).unwrap();
    // Requests for unknown addresses count as well, and are the cheapest.
    let stranger = portal.browser();
    let nowhere = async || stranger.get("/nowhere").await;
    let (let_through, refused) = flood(PATIENCE * burst, AT_ONCE, nowhere).await.expect("a limit");
    assert!(let_through + 10 >= burst, "{let_through} requests in a row are what a page may need");
    assert!(refused.says("Your address sends too many"), "{}", refused.text);
    assert_eq!(carol.get("/connections").await.status, 200, "carol is signed in, at the same address");

    let more = async || carol.get("/nowhere").await;
    let (let_through, refused) = flood(PATIENCE * burst, AT_ONCE, more).await.expect("a limit of her own");
    assert!(let_through + 10 >= burst, "{let_through}: strangers took nothing away from her");
    assert!(refused.says("You send too many"), "{}", refused.text);
    assert_eq!(alice.get("/connections").await.status, 200, "another user is not affected");
    let others = join_all((0..AT_ONCE).map(|_| bob.get("/sign-in"))).await;
    assert!(others.iter().all(|answer| answer.status == 200), "bob is elsewhere");
    // Probes come from the kubelet; if one failed, the portal would be restarted.
    for probe in ["/livez", "/readyz"] {
        assert_eq!(carol.get(probe).await.status, 200, "{probe}");
    }
}

/// Open pages of one user do not keep others from following theirs.
#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn class_10_one_user_has_a_limited_number_of_streams() {
    let it = scene("streams").await;
    it.provider(Rotation::SingleUse).apply().await;
    it.connection("mail").apply().await;
    let portal = Portal::start(&it, &[]).await;
    let live = format!("/connections/{}/mail/live", it.namespace);
    let open = async |user: &str| {
        let browser = portal.browser_of(&it, user).await;
        let cookies = browser.cookie_header();
        let mut streams = Vec::new();
        let mut seen = Vec::new();
        for _ in 0..30 {
            let request = format!("GET {live} HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n");
            let (stream, status) = portal.stream(&request).await;
            seen.push(status);
            streams.push(stream);
        }
        (streams, seen)
    };
    let (_alices, seen) = open("alice").await;
    assert_eq!(seen.iter().filter(|status| **status == 200).count(), 20, "{seen:?}");
    assert!(seen[20..].iter().all(|status| *status == 429), "{seen:?}");
    let (_bobs, seen) = open("bob").await;
    assert_eq!(seen[0], 200, "{seen:?}");
}
