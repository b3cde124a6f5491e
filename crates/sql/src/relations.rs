//! PostgreSQL's own relations: which may be read, and what in them tells of governed columns. An allow-list by name.

/// How a relation of `pg_catalog` is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// An ordinary read.
    Open,
    /// An `administer` access: it shows other sessions or the server.
    Administer,
    /// An `administer` access, and refused while anything is governed: it may hold values (statistics, statements of
    /// other sessions, password hashes, large objects), or nothing is known of it.
    Values,
}

/// How a relation of `pg_catalog` is treated; `information_schema` is open.
pub(crate) fn system(name: &str) -> System {
    let listed = |list: &str| list.split_ascii_whitespace().any(|n| n == name);
    if listed(OPEN) {
        System::Open
    } else if listed(ADMINISTER) {
        System::Administer
    } else {
        System::Values
    }
}

/// A column of a system relation that can hold an expression over governed columns, and so constants about them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    pub schema: &'static str,
    pub relation: &'static str,
    pub column: &'static str,
    pub row: Key,
}

/// How a row of a system relation says what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Columns with the relation's OID and the attribute's number.
    Attribute(&'static str, &'static str),
    /// A column with the OID of a relation, constraint or index.
    Relation(&'static str),
    Constraint(&'static str),
    Index(&'static str),
    View(&'static str),
    /// A partition whose bound is on a governed column.
    Partition(&'static str),
    /// Columns with the schema's and the relation's name.
    Named(&'static str, &'static str),
    /// Columns with the schema's and the index's name.
    NamedIndex(&'static str, &'static str),
    /// Columns with schema, relation and column name.
    NamedColumn(&'static str, &'static str, &'static str),
    /// Every row.
    Always,
}

/// Masked where the row is about something governed, when the column is read.
pub(crate) const TELLING: &[Telling] = &[
    telling("pg_attrdef", "adbin", Key::Attribute("adrelid", "adnum")),
    telling("pg_attribute", "attmissingval", Key::Attribute("attrelid", "attnum")),
    telling("pg_class", "relpartbound", Key::Partition("oid")),
    telling("pg_class", "reltuples", Key::Index("oid")),
    telling("pg_class", "relpages", Key::Index("oid")),
    telling("pg_constraint", "conbin", Key::Constraint("oid")),
    telling("pg_index", "indexprs", Key::Index("indexrelid")),
    telling("pg_index", "indpred", Key::Index("indexrelid")),
    telling("pg_rewrite", "ev_qual", Key::View("ev_class")),
    telling("pg_rewrite", "ev_action", Key::View("ev_class")),
    telling("pg_trigger", "tgqual", Key::Relation("tgrelid")),
    telling("pg_trigger", "tgargs", Key::Relation("tgrelid")),
    telling("pg_policy", "polqual", Key::Relation("polrelid")),
    telling("pg_policy", "polwithcheck", Key::Relation("polrelid")),
    telling("pg_publication_rel", "prqual", Key::Relation("prrelid")),
    telling("pg_publication_tables", "rowfilter", Key::Named("schemaname", "tablename")),
    telling("pg_policies", "qual", Key::Named("schemaname", "tablename")),
    telling("pg_policies", "with_check", Key::Named("schemaname", "tablename")),
    telling("pg_statistic_ext", "stxexprs", Key::Relation("stxrelid")),
    telling("pg_views", "definition", Key::Named("schemaname", "viewname")),
    telling("pg_matviews", "definition", Key::Named("schemaname", "matviewname")),
    telling("pg_indexes", "indexdef", Key::NamedIndex("schemaname", "indexname")),
    telling("pg_rules", "definition", Key::Named("schemaname", "tablename")),
    schema("columns", "column_default", Key::NamedColumn("table_schema", "table_name", "column_name")),
    schema("columns", "generation_expression", Key::NamedColumn("table_schema", "table_name", "column_name")),
    schema("check_constraints", "check_clause", Key::Always),
    schema("views", "view_definition", Key::Named("table_schema", "table_name")),
    schema("triggers", "action_condition", Key::Named("event_object_schema", "event_object_table")),
    schema("triggers", "action_statement", Key::Named("event_object_schema", "event_object_table")),
];

const fn telling(relation: &'static str, column: &'static str, row: Key) -> Telling {
    Telling { schema: "pg_catalog", relation, column, row }
}

const fn schema(relation: &'static str, column: &'static str, row: Key) -> Telling {
    Telling { schema: "information_schema", relation, column, row }
}

/// The catalog's names and shapes, and counters.
const OPEN: &str = "\
    pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_attribute pg_auth_members pg_available_extension_versions \
    pg_available_extensions pg_cast pg_class pg_collation pg_config pg_constraint pg_conversion pg_cursors \
    pg_database pg_db_role_setting pg_default_acl pg_depend pg_description pg_enum pg_event_trigger pg_extension \
    pg_foreign_data_wrapper pg_foreign_table pg_group pg_index pg_indexes pg_inherits pg_init_privs pg_language \
    pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily pg_parameter_acl pg_partitioned_table pg_policies \
    pg_policy pg_prepared_statements pg_proc pg_publication pg_publication_namespace pg_publication_rel \
    pg_publication_tables pg_range pg_rewrite pg_roles pg_rules pg_seclabel pg_seclabels pg_sequence pg_sequences \
    pg_settings pg_shdepend pg_shdescription pg_shseclabel pg_stat_all_indexes pg_stat_all_tables pg_stat_bgwriter \
    pg_stat_database pg_stat_ssl pg_stat_sys_indexes pg_stat_sys_tables pg_stat_user_indexes pg_stat_user_tables \
    pg_statio_all_indexes pg_statio_all_sequences pg_statio_all_tables pg_statio_sys_indexes pg_statio_sys_sequences \
    pg_statio_sys_tables pg_statio_user_indexes pg_statio_user_sequences pg_statio_user_tables pg_statistic_ext \
    pg_subscription_rel pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger \
    pg_ts_config pg_ts_config_map pg_ts_dict pg_ts_parser pg_ts_template pg_type pg_user pg_views pg_wait_events \
";

/// Other sessions and the server.
const ADMINISTER: &str = "\
    pg_backend_memory_contexts pg_foreign_server pg_locks pg_prepared_xacts pg_replication_origin \
    pg_replication_origin_status pg_replication_slots pg_shmem_allocations pg_stat_archiver pg_stat_checkpointer \
    pg_stat_database_conflicts pg_stat_gssapi pg_stat_io pg_stat_progress_analyze pg_stat_progress_basebackup \
    pg_stat_progress_cluster pg_stat_progress_copy pg_stat_progress_create_index pg_stat_progress_vacuum \
    pg_stat_recovery_prefetch pg_stat_replication pg_stat_replication_slots pg_stat_slru pg_stat_subscription \
    pg_stat_subscription_stats pg_stat_user_functions pg_stat_wal pg_stat_wal_receiver pg_stat_xact_all_tables \
    pg_stat_xact_sys_tables pg_stat_xact_user_functions pg_stat_xact_user_tables pg_subscription \
";
