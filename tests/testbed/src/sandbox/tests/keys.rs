//! The check of plain keys.

use super::*;

async fn with_keys() -> Bench {
    bench(|realm| {
        let key = |key: &str, forbidden| ApiKey { key: key.into(), account: "alice".into(), forbidden };
        realm.api_keys = vec![key("good", false), key("narrow", true)];
        let (user, password, account) = ("al", "p:ä+%41", "bob");
        realm.basic_users = vec![BasicUser {
            user: user.into(),
            password: password.into(),
            account: account.into(),
            forbidden: false,
        }];
    })
    .await
}

#[tokio::test]
async fn a_key_is_good_bad_or_good_but_not_allowed() {
    let bench = with_keys().await;
    for (key, status) in [("good", 200), ("narrow", 403), ("bad", 401), ("", 401)] {
        let address = bench.realm.url("api/me");
        let bearer = bench.send(bench.http.get(&address).bearer_auth(key)).await.unwrap();
        let header = bench.send(bench.http.get(&address).header("x-api-key", key)).await.unwrap();
        assert_eq!((bearer.status, header.status), (status, status), "{key}");
    }
    let address = bench.realm.url("api/me");
    let reply = bench.send(bench.http.get(&address).bearer_auth("good")).await.unwrap();
    assert_eq!((reply.member("id"), reply.member("email")), ("alice".into(), "alice@example.com".into()));
    let both = bench.http.get(&address).bearer_auth("good").header("x-api-key", "good");
    assert_eq!(bench.send(both).await.unwrap().status, 401);
}

#[tokio::test]
async fn user_and_password_are_taken_as_they_are() {
    let bench = with_keys().await;
    for (password, status) in [("p:ä+%41", 200), ("p:ä A", 401), ("", 401)] {
        let request =
            bench.http.get(bench.realm.url("api/me")).header("authorization", basic("al", password));
        assert_eq!(bench.send(request).await.unwrap().status, status, "{password}");
    }
}
