//! The benchmark, small. Its figures depend on the machine and are judged by `make bench` alone; here it must come to its report.

use std::time::Duration;

use bowline_testbed::bench::{self, Options, departure};
use bowline_testbed::cluster::FOREIGN_KUBECONFIG;
use bowline_testbed::stage::Profile;

use crate::stage::binaries;

#[tokio::test]
#[ignore = "needs an API server: make test"]
async fn a_small_benchmark_comes_to_its_report() {
    if std::env::var_os(FOREIGN_KUBECONFIG).is_some() {
        return; // It counts requests in the audit log of its own API server.
    }
    let options = departure::Options { shares: 3, bindings: 6, rounds: 2, profile: Profile::Dev };
    let page = departure::run(&options, &binaries()).await.unwrap().page();
    assert!(page.contains("3 shares, 6 bindings, 2 rounds") && page.contains("audit log: 0"), "{page}");
    let options = Options { connections: 4, duration: Duration::from_secs(1), profile: Profile::Dev };
    let report = bench::run(&options, &binaries()).await.unwrap();
    assert!(report.page().contains("# Benchmark") && report.page().contains("raw"), "{}", report.page());
}
