//! Names, units and labels of all metrics: the registry and docs/metrics.md are made from them.

use bowline_runtime::families;

const CALLS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];
const LATENESS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

families! {
    BINDINGS: Gauge "bowline_bindings" [] &[],
        "Bindings that exist, in number of objects.";
    BUILD_INFO: Gauge "bowline_build_info" ["version"] &[],
        "Always 1; the label says which version runs.";
    CERTIFICATES_ENDING: Gauge "bowline_client_certificates_ending" ["within"] &[],
        "Providers whose TLS client certificate ends within 30 days, 7 days or a day, or has ended, in number of objects. Those of a day count in all three.";
    CONNECTION_GRANT_ENDS: Gauge "bowline_connection_grant_end_timestamp_seconds" ["namespace", "name"] &[],
        "When the grant of a connection ends by itself, in seconds since 1970; absent where that is not known. With --per-connection-metrics.";
    CONNECTION_INFO: Gauge "bowline_connection_info" ["namespace", "name", "provider", "phase"] &[],
        "Always 1; the labels say which provider a connection is of, and its phase. With --per-connection-metrics.";
    CONNECTION_READY: Gauge "bowline_connection_ready" ["namespace", "name"] &[],
        "1 while a connection is Ready, else 0. With --per-connection-metrics.";
    CONNECTION_SERIES_OMITTED: Gauge "bowline_connection_series_omitted" [] &[],
        "Connections beyond the number of --per-connection-metrics, which have no series of their own, in number of objects.";
    CONNECTION_TOKEN_EXPIRES: Gauge "bowline_connection_token_expiry_timestamp_seconds" ["namespace", "name"] &[],
        "When the token of a connection expires, in seconds since 1970; absent where that is not known. With --per-connection-metrics.";
    CONNECTIONS: Gauge "bowline_connections" ["phase"] &[],
        "Connections by phase, in number of objects.";
    ENDINGS: Gauge "bowline_endings" [] &[],
        "Grants that wait to be revoked at their provider and erased, in number of grants.";
    GRANTS_ENDING: Gauge "bowline_grants_ending" ["within"] &[],
        "Grants that end by themselves within 30 days, 7 days or a day unless somebody acts, in number of grants. Those of a day count in all three.";
    KEYRING_KEY_AGE: Gauge "bowline_keyring_key_age_seconds" [] &[],
        "Age of the key that new records are sealed with, in seconds.";
    KEYS_UNDER_FORMER_KMS_KEYS: Gauge "bowline_keyring_keys_under_former_kms_keys" [] &[],
        "Keys of the keyring that are not wrapped by the key with which the KMS of --kms-socket encrypts now, in number of keys; they are wrapped again in the background. Only the replica that leads tells.";
    KMS_FAILING: Gauge "bowline_kms_failing" [] &[],
        "1 while the KMS of --kms-socket does not answer, or not as it should, else 0. A running operator goes on; one that starts is not ready.";
    LEADER: Gauge "bowline_leader" [] &[],
        "1 on the replica that leads, else 0. Only that one counts objects.";
    NAMESPACES_UNREADABLE: Gauge "bowline_namespaces_unreadable" [] &[],
        "Namespaces of --secret-namespaces whose Secrets cannot be listed now, in number of namespaces; what is in them waits.";
    NOTIFICATIONS: Counter "bowline_notifications_total" ["type", "outcome"] &[],
        "Notifications for --notify-url, by what became of them; `retried` counts requests that failed and are repeated.";
    PANICS: Counter "bowline_panics_total" ["controller"] &[],
        "Faults of this program, by the controller whose reconcile ended with one, or `grant` for work on a grant; it is repeated after a minute.";
    POLICY_PRESENT: Gauge "bowline_policy_present" [] &[],
        "1 while the admission policies that guard ownership are installed and bound, else 0; absent until a process has looked at them.";
    PROVIDER_CLOCK_AHEAD: Gauge "bowline_provider_clock_ahead_seconds" ["type"] &[],
        "How far the clock of a provider of this catalogue type was ahead of ours at its last answer to a refresh, in seconds; negative if it was behind.";
    PROVIDER_REQUEST_DURATION: Histogram "bowline_provider_request_duration_seconds" ["operation"] CALLS,
        "Time from sending a request to a provider until its answer was read or given up, in seconds.";
    PROVIDER_REQUESTS: Counter "bowline_provider_requests_total" ["operation", "class"] &[],
        "Requests to providers, by what was asked and how the answer was read; `abandoned` means nobody waited for it.";
    PUBLISHES: Counter "bowline_publishes_total" ["outcome"] &[],
        "Secrets published or withdrawn, by outcome.";
    PASS_DURATION: Histogram "bowline_reconcile_duration_seconds" ["controller"] CALLS,
        "Duration of a reconcile, in seconds.";
    PASSES: Counter "bowline_reconciles_total" ["controller", "outcome"] &[],
        "Reconciles by outcome; `abandoned` means it ended without saying how (cancelled, or an error).";
    RECORDS: Gauge "bowline_records" [] &[],
        "Sealed grants in the store, in number of records.";
    RECORDS_UNDER_FORMER_KEYS: Gauge "bowline_records_under_former_keys" [] &[],
        "Records and endings that another key than the primary has sealed, which are sealed again in the background.";
    REFRESH_LATENESS: Histogram "bowline_refresh_lateness_seconds" [] LATENESS,
        "How long after its planned time a refresh was begun, in seconds.";
    REFRESHES: Counter "bowline_refreshes_total" ["type", "outcome"] &[],
        "Refreshes that came to an end, by the provider's catalogue type and by outcome.";
    SHARES: Gauge "bowline_shares" [] &[],
        "Shares that exist, in number of objects.";
    STORE_READY: Gauge "bowline_store_ready" [] &[],
        "1 while the records are loaded and the keyring is usable, else 0.";
    UNREADABLE_OBJECTS: Gauge "bowline_unreadable_objects" ["kind"] &[],
        "Objects that do not parse and are set aside until they are corrected, by kind (`Record` and `Attempt` are Secrets of ours), in number of objects.";
    WITHDRAWAL_DEBTS: Gauge "bowline_withdrawal_debts" [] &[],
        "Secrets of connections that are gone which could not be removed yet, in number of objects.";
}
