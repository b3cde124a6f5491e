//! Which settings a session may change. An allow-list: the rest could break how we read the session's text, become
//! another role, or run code.

/// What a change of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// May be changed.
    Free,
    /// May be set to the value that we rely on, and to nothing else.
    Pinned,
    /// A setting of the application's own (`app.user_id`): an `execute` access, since row security may read it.
    Custom,
    /// Chooses between plans: free where nothing is governed, else an `administer` access. By an index the rows come in the
    /// order of its raw values.
    Planner,
    /// Another role: opaque.
    Role,
    /// Not listed: opaque.
    Unknown,
}

/// How a setting is treated when it becomes `value` (`None`: its default, or not a constant).
pub(crate) fn setting(name: &str, value: Option<&str>, to_default: bool) -> Setting {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "standard_conforming_strings" if to_default || value.is_some_and(is_true) => Setting::Free,
        "client_encoding" if to_default || value.is_some_and(encoding) => Setting::Free,
        "backslash_quote" if value == Some("safe_encoding") || to_default => Setting::Free,
        "standard_conforming_strings" | "client_encoding" | "backslash_quote" => Setting::Pinned,
        "role" | "session_authorization" => Setting::Role,
        _ if PLANNER.split_ascii_whitespace().any(|n| n == name) && !to_default => Setting::Planner,
        _ if PLANNER.split_ascii_whitespace().any(|n| n == name) => Setting::Free,
        _ if FREE.split_ascii_whitespace().any(|n| n == name) => Setting::Free,
        _ if name.contains('.') && !RESERVED.iter().any(|p| name.starts_with(p)) => Setting::Custom,
        _ => Setting::Unknown,
    }
}

/// Prefixes of settings of languages and extensions that run code or change what is logged.
const RESERVED: &[&str] =
    &["plpgsql.", "plperl.", "plpython.", "pltcl.", "auto_explain.", "pgaudit.", "anon."];

fn is_true(value: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|t| value.eq_ignore_ascii_case(t))
}

/// Whether this is the `client_encoding` in which the gateway reads names and values.
pub fn encoding(value: &str) -> bool {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    ["UTF8", "UNICODE"].iter().any(|name| name.eq_ignore_ascii_case(&plain))
}

/// Formats and limits: nothing that changes what a text means or who runs it.
const FREE: &str = "\
    application_name array_nulls bytea_output check_function_bodies client_connection_check_interval \
    client_min_messages datestyle default_statistics_target default_table_access_method \
    default_text_search_config default_toast_compression default_transaction_deferrable \
    default_transaction_isolation default_transaction_read_only effective_io_concurrency escape_string_warning \
    extra_float_digits gin_fuzzy_search_limit hash_mem_multiplier idle_in_transaction_session_timeout \
    idle_session_timeout intervalstyle jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost \
    lc_monetary lc_numeric lc_time lock_timeout maintenance_work_mem quote_all_identifiers row_security \
    search_path statement_timeout synchronize_seqscans synchronous_commit tcp_keepalives_count tcp_keepalives_idle \
    tcp_keepalives_interval tcp_user_timeout temp_buffers timezone transaction_deferrable transaction_isolation \
    transaction_read_only transaction_timeout vacuum_cost_delay work_mem xmlbinary xmloption \
";

/// What the planner chooses by.
const PLANNER: &str = "\
    constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction \
    debug_parallel_query effective_cache_size enable_async_append enable_bitmapscan enable_distinct_reordering \
    enable_gathermerge enable_group_by_reordering enable_hashagg enable_hashjoin enable_incremental_sort \
    enable_indexonlyscan enable_indexscan enable_material enable_memoize enable_mergejoin enable_nestloop \
    enable_parallel_append enable_parallel_hash enable_partition_pruning enable_partitionwise_aggregate \
    enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination enable_seqscan enable_sort \
    enable_tidscan force_parallel_mode from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size \
    geqo_seed geqo_selection_bias geqo_threshold join_collapse_limit max_parallel_maintenance_workers \
    max_parallel_workers max_parallel_workers_per_gather min_parallel_index_scan_size \
    min_parallel_table_scan_size parallel_leader_participation parallel_setup_cost parallel_tuple_cost \
    plan_cache_mode random_page_cost recursive_worktable_factor seq_page_cost \
";
