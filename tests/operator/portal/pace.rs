//! How fast one user and one address may send requests, and that nobody is slowed down by somebody else.

use bowline_portal::testing::{ACTIONS, REQUESTS};
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

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn one_addresses_requests_are_limited_and_nobody_elses() {
    let it = scene("requests").await;
    let portal = Portal::start(&it, &[]).await;
    let bob = portal.browser_on("127.0.0.2");
    let page = bob.get("/sign-in").await;
    assert_eq!(page.status, 200);
    let carol = portal.browser_of(&it, "carol").await;
    let burst = usize::try_from(REQUESTS.burst).unwrap();
    // Requests for unknown addresses count as well, and are the cheapest.
    let nowhere = async || carol.get("/nowhere").await;
    let (let_through, _) = flood(PATIENCE * burst, AT_ONCE, nowhere).await.expect("a limit");
    assert!(let_through + 10 >= burst, "{let_through} requests in a row are what a page may need");

    let stranger = portal.browser();
    let nowhere = async || stranger.get("/nowhere").await;
    let (let_through, _) = flood(burst, AT_ONCE, nowhere).await.expect("the same with and without a session");
    assert!(let_through < burst, "{let_through}: the same bucket");
    let others = join_all((0..AT_ONCE).map(|_| bob.get("/sign-in"))).await;
    assert!(others.iter().all(|answer| answer.status == 200), "bob is elsewhere");
    // Probes come from the kubelet; if one failed, the portal would be restarted.
    for probe in ["/livez", "/readyz"] {
        assert_eq!(carol.get(probe).await.status, 200, "{probe}");
    }
}
