//! How fast one user and one address may go, and that nobody is slowed by somebody else.

use bowline_portal::limits::{ACTIONS, REQUESTS};
use futures::future::join_all;

use super::browser::Browser;
use super::house::Portal;
use crate::scene::scene;

/// So many more than the first burst are sent before a test gives up.
const PATIENCE: usize = 4;
/// Requests at a time: one after the other may be slower than the bucket fills.
const AT_ONCE: usize = 50;

/// Sends until the portal says that it is too much; how many were let through, if it ever said so.
async fn flood(burst: usize, at_once: usize, send: impl AsyncFn() -> u16) -> Option<usize> {
    let mut let_through = 0;
    while let_through < PATIENCE * burst {
        let answers = join_all((0..at_once).map(|_| send())).await;
        let_through += answers.iter().filter(|status| **status != 429).count();
        if answers.contains(&429) {
            return Some(let_through);
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

    // Forms that a foreign page sends in her name use nothing up.
    let burst = usize::try_from(ACTIONS.burst()).unwrap();
    let forged = async || carol.post(&path, &[("form", "guess")]).await.status;
    assert_eq!(flood(burst / PATIENCE, 10, forged).await, None);
    let change = async || carol.submit(&page, &path, &[]).await.status;
    let let_through = flood(burst, 5, change).await.expect("a limit");
    assert!(let_through >= burst, "{let_through} changes in a row are what a person may do");

    let refused = carol.submit(&page, &path, &[]).await;
    assert!(refused.says("too many changes within a minute"), "{}", refused.text);
    let another = portal.browser_of(&it, "carol").await;
    let page = another.get("/connections").await;
    assert_eq!(another.submit(&page, &path, &[]).await.status, 429, "a new session is the same user");
    assert_eq!(bob.submit(&bobs, &path, &[]).await.status, 404, "bob is let through");
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
    let burst = usize::try_from(REQUESTS.burst()).unwrap();
    // What nobody serves counts as well.
    let let_through = flood(burst, AT_ONCE, async || get(&carol, "/nowhere").await).await.expect("a limit");
    assert!(let_through + 10 >= burst, "{let_through} requests in a row are what a page may need");

    let all = join_all((0..AT_ONCE).map(|_| get(&carol, "/connections"))).await;
    assert!(all.contains(&429), "with a session as without: {all:?}");
    let others = join_all((0..AT_ONCE).map(|_| get(&bob, "/sign-in"))).await;
    assert!(others.iter().all(|status| *status == 200), "bob is elsewhere: {others:?}");
    // Probes come from the kubelet, and one that fails would end the portal.
    assert_eq!((get(&carol, "/livez").await, get(&carol, "/readyz").await), (200, 200));
}

async fn get(browser: &Browser, path: &str) -> u16 {
    browser.get(path).await.status
}
