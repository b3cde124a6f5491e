//! The tree of a statement, walkable without a gap.
//!
//! The table below names every field of every node kind that PostgreSQL's raw parser makes. The macro takes each
//! struct apart without `..`: when a new grammar adds a field, this file does not compile until somebody has said what
//! the field is. A kind that is not in the table (the planner's, or a newer grammar's) is [`Tree::Unknown`], and what
//! is unknown is refused.

use pg_query::protobuf as p;
use pg_query::protobuf::node::Node as N;

pub(crate) use pg_query::protobuf::Node;

macro_rules! kinds {
    ($( $variant:ident $strukt:ident nodes[$($nodes:ident),*] node[$($node:ident),*] sub[$($sub:ident : $subv:ident),*]
        subs[$($subs:ident : $subsv:ident),*] plain[$($plain:ident),*] place[$($place:ident),*]; )*) => {
        /// A borrowed node of any kind.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Tree<'a> {
            $( $variant(&'a p::$strukt), )*
            /// A kind that the raw parser is not known to make.
            Unknown,
        }

        impl<'a> Tree<'a> {
            /// `None` for the absent element that some lists hold. Not inlined: it is called from hundreds of places.
            #[inline(never)]
            pub(crate) fn of(node: &'a Node) -> Option<Tree<'a>> {
                Some(match node.node.as_ref()? {
                    $( N::$variant(x) => Tree::$variant(x), )*
                    _ => Tree::Unknown,
                })
            }

            /// Calls `f` with each direct child, in the order of the grammar's fields.
            pub(crate) fn each(self, f: &mut dyn FnMut(Tree<'a>)) {
                match self {
                    $( Tree::$variant(x) => {
                        let p::$strukt { $($nodes,)* $($node,)* $($sub,)* $($subs,)* $($plain: _,)* $($place: _,)* } = x;
                        $( each_in($nodes, f); )*
                        $( each_in(slot($node), f); )*
                        $( if let Some(x) = $sub { f(Tree::$subv(x)); } )*
                        $( for x in $subs { f(Tree::$subsv(x)); } )*
                        let _ = f;
                    } )*
                    Tree::Unknown => {}
                }
            }
        }

        $( impl Edit for p::$strukt {
            fn each_node(&mut self, f: &mut dyn FnMut(&mut Node)) {
                let p::$strukt { $($nodes,)* $($node,)* $($sub,)* $($subs,)* $($plain: _,)* $($place: _,)* } = self;
                $( each_node_in($nodes, f); )*
                $( if let Some(node) = $node.as_deref_mut() { f(node); } )*
                $( if let Some(x) = $sub { x.each_node(f); } )*
                $( for x in $subs { x.each_node(f); } )*
                let _ = f;
            }

            fn same(&self, other: &Self, f: &mut dyn FnMut(&Node, &Node) -> bool) -> bool {
                let p::$strukt { $($nodes,)* $($node,)* $($sub,)* $($subs,)* $($plain,)* $($place: _,)* } = self;
                let _ = (other, &f);
                true
                    $( && *$plain == other.$plain )*
                    $( && same_in($nodes, &other.$nodes, f) )*
                    $( && same_in(slot($node), slot(&other.$node), f) )*
                    $( && match ($sub, &other.$sub) {
                        (Some(a), Some(b)) => a.same(b, f),
                        (a, b) => a.is_none() && b.is_none(),
                    } )*
                    $( && $subs.len() == other.$subs.len()
                        && $subs.iter().zip(&other.$subs).all(|(a, b)| a.same(b, f)) )*
            }
        } )*

        impl Edit for Node {
            fn each_node(&mut self, f: &mut dyn FnMut(&mut Node)) {
                match &mut self.node {
                    $( Some(N::$variant(x)) => x.each_node(f), )*
                    _ => {}
                }
            }

            fn same(&self, other: &Self, f: &mut dyn FnMut(&Node, &Node) -> bool) -> bool {
                match (&self.node, &other.node) {
                    $( (Some(N::$variant(a)), Some(N::$variant(b))) => a.same(b, f), )*
                    (a, b) => a == b,
                }
            }
        }
    };
}

#[inline(never)]
fn each_in<'a>(nodes: &'a [Node], f: &mut dyn FnMut(Tree<'a>)) {
    nodes.iter().filter_map(Tree::of).for_each(f);
}

#[inline(never)]
fn each_node_in(nodes: &mut [Node], f: &mut dyn FnMut(&mut Node)) {
    nodes.iter_mut().for_each(f);
}

fn slot(node: &Option<Box<Node>>) -> &[Node] {
    node.as_deref().map(std::slice::from_ref).unwrap_or_default()
}

#[inline(never)]
fn same_in(a: &[Node], b: &[Node], f: &mut dyn FnMut(&Node, &Node) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| f(a, b))
}

/// Changing a tree in place: to build the tree that a rewrite intends, and to compare trees without byte positions.
pub(crate) trait Edit {
    /// Calls `f` with every nearest [`Node`] slot below, through structs that are not slots themselves.
    fn each_node(&mut self, f: &mut dyn FnMut(&mut Node));

    /// Whether two nodes are one but for the bytes at which they stand. `f` is asked about each pair of nearest [`Node`]
    /// slots below.
    fn same(&self, other: &Self, f: &mut dyn FnMut(&Node, &Node) -> bool) -> bool;
}

kinds! {
    Integer Integer nodes[] node[] sub[] subs[] plain[ival] place[];
    Float Float nodes[] node[] sub[] subs[] plain[fval] place[];
    Boolean Boolean nodes[] node[] sub[] subs[] plain[boolval] place[];
    String String nodes[] node[] sub[] subs[] plain[sval] place[];
    BitString BitString nodes[] node[] sub[] subs[] plain[bsval] place[];
    List List nodes[items] node[] sub[] subs[] plain[] place[];
    AConst AConst nodes[] node[] sub[] subs[] plain[isnull, val] place[location];
    Alias Alias nodes[colnames] node[] sub[] subs[] plain[aliasname] place[];
    RangeVar RangeVar nodes[] node[] sub[alias: Alias] subs[] plain[catalogname, schemaname, relname, inh, relpersistence] place[location];
    IntoClause IntoClause nodes[col_names, options] node[] sub[rel: RangeVar] subs[] plain[access_method, on_commit, table_space_name, skip_data, view_query] place[];
    GroupingFunc GroupingFunc nodes[args, refs] node[xpr] sub[] subs[] plain[agglevelsup] place[location];
    MergeSupportFunc MergeSupportFunc nodes[] node[xpr] sub[] subs[] plain[msftype, msfcollid] place[location];
    NamedArgExpr NamedArgExpr nodes[] node[xpr, arg] sub[] subs[] plain[name, argnumber] place[location];
    BoolExpr BoolExpr nodes[args] node[xpr] sub[] subs[] plain[boolop] place[location];
    SubLink SubLink nodes[oper_name] node[xpr, testexpr, subselect] sub[] subs[] plain[sub_link_type, sub_link_id] place[location];
    CaseExpr CaseExpr nodes[args] node[xpr, arg, defresult] sub[] subs[] plain[casetype, casecollid] place[location];
    CaseWhen CaseWhen nodes[] node[xpr, expr, result] sub[] subs[] plain[] place[location];
    RowExpr RowExpr nodes[args, colnames] node[xpr] sub[] subs[] plain[row_typeid, row_format] place[location];
    CoalesceExpr CoalesceExpr nodes[args] node[xpr] sub[] subs[] plain[coalescetype, coalescecollid] place[location];
    MinMaxExpr MinMaxExpr nodes[args] node[xpr] sub[] subs[] plain[minmaxtype, minmaxcollid, inputcollid, op] place[location];
    SqlvalueFunction SqlValueFunction nodes[] node[xpr] sub[] subs[] plain[op, r#type, typmod] place[location];
    XmlExpr XmlExpr nodes[named_args, arg_names, args] node[xpr] sub[] subs[] plain[op, name, xmloption, indent, r#type, typmod] place[location];
    JsonFormat JsonFormat nodes[] node[] sub[] subs[] plain[format_type, encoding] place[location];
    JsonReturning JsonReturning nodes[] node[] sub[format: JsonFormat] subs[] plain[typid, typmod] place[];
    JsonValueExpr JsonValueExpr nodes[] node[raw_expr, formatted_expr] sub[format: JsonFormat] subs[] plain[] place[];
    JsonIsPredicate JsonIsPredicate nodes[] node[expr] sub[format: JsonFormat] subs[] plain[item_type, unique_keys] place[location];
    JsonBehavior JsonBehavior nodes[] node[expr] sub[] subs[] plain[btype, coerce] place[location];
    NullTest NullTest nodes[] node[xpr, arg] sub[] subs[] plain[nulltesttype, argisrow] place[location];
    BooleanTest BooleanTest nodes[] node[xpr, arg] sub[] subs[] plain[booltesttype] place[location];
    SetToDefault SetToDefault nodes[] node[xpr] sub[] subs[] plain[type_id, type_mod, collation] place[location];
    CurrentOfExpr CurrentOfExpr nodes[] node[xpr] sub[] subs[] plain[cvarno, cursor_name, cursor_param] place[];
    JoinExpr JoinExpr nodes[using_clause] node[larg, rarg, quals] sub[join_using_alias: Alias, alias: Alias] subs[] plain[jointype, is_natural, rtindex] place[];
    TypeName TypeName nodes[names, typmods, array_bounds] node[] sub[] subs[] plain[type_oid, setof, pct_type, typemod] place[location];
    ColumnRef ColumnRef nodes[fields] node[] sub[] subs[] plain[] place[location];
    ParamRef ParamRef nodes[] node[] sub[] subs[] plain[number] place[location];
    AExpr AExpr nodes[name] node[lexpr, rexpr] sub[] subs[] plain[kind] place[rexpr_list_start, rexpr_list_end, location];
    TypeCast TypeCast nodes[] node[arg] sub[type_name: TypeName] subs[] plain[] place[location];
    CollateClause CollateClause nodes[collname] node[arg] sub[] subs[] plain[] place[location];
    RoleSpec RoleSpec nodes[] node[] sub[] subs[] plain[roletype, rolename] place[location];
    FuncCall FuncCall nodes[funcname, args, agg_order] node[agg_filter] sub[over: WindowDef] subs[] plain[agg_within_group, agg_star, agg_distinct, func_variadic, funcformat] place[location];
    AStar AStar nodes[] node[] sub[] subs[] plain[] place[];
    AIndices AIndices nodes[] node[lidx, uidx] sub[] subs[] plain[is_slice] place[];
    AIndirection AIndirection nodes[indirection] node[arg] sub[] subs[] plain[] place[];
    AArrayExpr AArrayExpr nodes[elements] node[] sub[] subs[] plain[] place[list_start, list_end, location];
    ResTarget ResTarget nodes[indirection] node[val] sub[] subs[] plain[name] place[location];
    MultiAssignRef MultiAssignRef nodes[] node[source] sub[] subs[] plain[colno, ncolumns] place[];
    SortBy SortBy nodes[use_op] node[node] sub[] subs[] plain[sortby_dir, sortby_nulls] place[location];
    WindowDef WindowDef nodes[partition_clause, order_clause] node[start_offset, end_offset] sub[] subs[] plain[name, refname, frame_options] place[location];
    RangeSubselect RangeSubselect nodes[] node[subquery] sub[alias: Alias] subs[] plain[lateral] place[];
    RangeFunction RangeFunction nodes[functions, coldeflist] node[] sub[alias: Alias] subs[] plain[lateral, ordinality, is_rowsfrom] place[];
    RangeTableFunc RangeTableFunc nodes[namespaces, columns] node[docexpr, rowexpr] sub[alias: Alias] subs[] plain[lateral] place[location];
    RangeTableFuncCol RangeTableFuncCol nodes[] node[colexpr, coldefexpr] sub[type_name: TypeName] subs[] plain[colname, for_ordinality, is_not_null] place[location];
    RangeTableSample RangeTableSample nodes[method, args] node[relation, repeatable] sub[] subs[] plain[] place[location];
    ColumnDef ColumnDef nodes[constraints, fdwoptions] node[raw_default, cooked_default] sub[type_name: TypeName, identity_sequence: RangeVar, coll_clause: CollateClause] subs[] plain[colname, compression, inhcount, is_local, is_not_null, is_from_type, storage, storage_name, identity, generated, coll_oid] place[location];
    TableLikeClause TableLikeClause nodes[] node[] sub[relation: RangeVar] subs[] plain[options, relation_oid] place[];
    IndexElem IndexElem nodes[collation, opclass, opclassopts] node[expr] sub[] subs[] plain[name, indexcolname, ordering, nulls_ordering] place[];
    DefElem DefElem nodes[] node[arg] sub[] subs[] plain[defnamespace, defname, defaction] place[location, arg_location];
    LockingClause LockingClause nodes[locked_rels] node[] sub[] subs[] plain[strength, wait_policy] place[];
    XmlSerialize XmlSerialize nodes[] node[expr] sub[type_name: TypeName] subs[] plain[xmloption, indent] place[location];
    PartitionElem PartitionElem nodes[collation, opclass] node[expr] sub[] subs[] plain[name] place[location];
    PartitionSpec PartitionSpec nodes[part_params] node[] sub[] subs[] plain[strategy] place[location];
    PartitionBoundSpec PartitionBoundSpec nodes[listdatums, lowerdatums, upperdatums] node[] sub[] subs[] plain[strategy, is_default, modulus, remainder] place[location];
    PartitionRangeDatum PartitionRangeDatum nodes[] node[value] sub[] subs[] plain[kind] place[location];
    PartitionCmd PartitionCmd nodes[] node[] sub[name: RangeVar, bound: PartitionBoundSpec] subs[] plain[concurrent] place[];
    TableSampleClause TableSampleClause nodes[args] node[repeatable] sub[] subs[] plain[tsmhandler] place[];
    GroupingSet GroupingSet nodes[content] node[] sub[] subs[] plain[kind] place[location];
    WithClause WithClause nodes[ctes] node[] sub[] subs[] plain[recursive] place[location];
    InferClause InferClause nodes[index_elems] node[where_clause] sub[] subs[] plain[conname] place[location];
    OnConflictClause OnConflictClause nodes[target_list] node[where_clause] sub[infer: InferClause] subs[] plain[action] place[location];
    CtesearchClause CteSearchClause nodes[search_col_list] node[] sub[] subs[] plain[search_breadth_first, search_seq_column] place[location];
    CtecycleClause CteCycleClause nodes[cycle_col_list] node[cycle_mark_value, cycle_mark_default] sub[] subs[] plain[cycle_mark_column, cycle_path_column, cycle_mark_type, cycle_mark_typmod, cycle_mark_collation, cycle_mark_neop] place[location];
    CommonTableExpr CommonTableExpr nodes[aliascolnames, ctecolnames, ctecoltypes, ctecoltypmods, ctecolcollations] node[ctequery] sub[search_clause: CtesearchClause, cycle_clause: CtecycleClause] subs[] plain[ctename, ctematerialized, cterecursive, cterefcount] place[location];
    MergeWhenClause MergeWhenClause nodes[target_list, values] node[condition] sub[] subs[] plain[match_kind, command_type, r#override] place[];
    ReturningOption ReturningOption nodes[] node[] sub[] subs[] plain[option, value] place[location];
    ReturningClause ReturningClause nodes[options, exprs] node[] sub[] subs[] plain[] place[];
    TriggerTransition TriggerTransition nodes[] node[] sub[] subs[] plain[name, is_new, is_table] place[];
    JsonOutput JsonOutput nodes[] node[] sub[type_name: TypeName, returning: JsonReturning] subs[] plain[] place[];
    JsonArgument JsonArgument nodes[] node[] sub[val: JsonValueExpr] subs[] plain[name] place[];
    JsonFuncExpr JsonFuncExpr nodes[passing] node[pathspec] sub[context_item: JsonValueExpr, output: JsonOutput, on_empty: JsonBehavior, on_error: JsonBehavior] subs[] plain[op, column_name, wrapper, quotes] place[location];
    JsonTablePathSpec JsonTablePathSpec nodes[] node[string] sub[] subs[] plain[name] place[name_location, location];
    JsonTable JsonTable nodes[passing, columns] node[] sub[context_item: JsonValueExpr, pathspec: JsonTablePathSpec, on_error: JsonBehavior, alias: Alias] subs[] plain[lateral] place[location];
    JsonTableColumn JsonTableColumn nodes[columns] node[] sub[type_name: TypeName, pathspec: JsonTablePathSpec, format: JsonFormat, on_empty: JsonBehavior, on_error: JsonBehavior] subs[] plain[coltype, name, wrapper, quotes] place[location];
    JsonKeyValue JsonKeyValue nodes[] node[key] sub[value: JsonValueExpr] subs[] plain[] place[];
    JsonParseExpr JsonParseExpr nodes[] node[] sub[expr: JsonValueExpr, output: JsonOutput] subs[] plain[unique_keys] place[location];
    JsonScalarExpr JsonScalarExpr nodes[] node[expr] sub[output: JsonOutput] subs[] plain[] place[location];
    JsonSerializeExpr JsonSerializeExpr nodes[] node[] sub[expr: JsonValueExpr, output: JsonOutput] subs[] plain[] place[location];
    JsonObjectConstructor JsonObjectConstructor nodes[exprs] node[] sub[output: JsonOutput] subs[] plain[absent_on_null, unique] place[location];
    JsonArrayConstructor JsonArrayConstructor nodes[exprs] node[] sub[output: JsonOutput] subs[] plain[absent_on_null] place[location];
    JsonArrayQueryConstructor JsonArrayQueryConstructor nodes[] node[query] sub[output: JsonOutput, format: JsonFormat] subs[] plain[absent_on_null] place[location];
    JsonAggConstructor JsonAggConstructor nodes[agg_order] node[agg_filter] sub[output: JsonOutput, over: WindowDef] subs[] plain[] place[location];
    JsonObjectAgg JsonObjectAgg nodes[] node[] sub[constructor: JsonAggConstructor, arg: JsonKeyValue] subs[] plain[absent_on_null, unique] place[];
    JsonArrayAgg JsonArrayAgg nodes[] node[] sub[constructor: JsonAggConstructor, arg: JsonValueExpr] subs[] plain[absent_on_null] place[];
    InsertStmt InsertStmt nodes[cols] node[select_stmt] sub[relation: RangeVar, on_conflict_clause: OnConflictClause, returning_clause: ReturningClause, with_clause: WithClause] subs[] plain[r#override] place[];
    DeleteStmt DeleteStmt nodes[using_clause] node[where_clause] sub[relation: RangeVar, returning_clause: ReturningClause, with_clause: WithClause] subs[] plain[] place[];
    UpdateStmt UpdateStmt nodes[target_list, from_clause] node[where_clause] sub[relation: RangeVar, returning_clause: ReturningClause, with_clause: WithClause] subs[] plain[] place[];
    MergeStmt MergeStmt nodes[merge_when_clauses] node[source_relation, join_condition] sub[relation: RangeVar, returning_clause: ReturningClause, with_clause: WithClause] subs[] plain[] place[];
    SelectStmt SelectStmt nodes[distinct_clause, target_list, from_clause, group_clause, window_clause, values_lists, sort_clause, locking_clause] node[where_clause, having_clause, limit_offset, limit_count] sub[into_clause: IntoClause, with_clause: WithClause, larg: SelectStmt, rarg: SelectStmt] subs[] plain[group_distinct, limit_option, op, all] place[];
    ReturnStmt ReturnStmt nodes[] node[returnval] sub[] subs[] plain[] place[];
    CreateSchemaStmt CreateSchemaStmt nodes[schema_elts] node[] sub[authrole: RoleSpec] subs[] plain[schemaname, if_not_exists] place[];
    AlterTableStmt AlterTableStmt nodes[cmds] node[] sub[relation: RangeVar] subs[] plain[objtype, missing_ok] place[];
    AlterTableCmd AlterTableCmd nodes[] node[def] sub[newowner: RoleSpec] subs[] plain[subtype, name, num, behavior, missing_ok, recurse] place[];
    AtalterConstraint AtAlterConstraint nodes[] node[] sub[] subs[] plain[conname, alter_enforceability, is_enforced, alter_deferrability, deferrable, initdeferred, alter_inheritability, noinherit] place[];
    ReplicaIdentityStmt ReplicaIdentityStmt nodes[] node[] sub[] subs[] plain[identity_type, name] place[];
    AlterCollationStmt AlterCollationStmt nodes[collname] node[] sub[] subs[] plain[] place[];
    AlterDomainStmt AlterDomainStmt nodes[type_name] node[def] sub[] subs[] plain[subtype, name, behavior, missing_ok] place[];
    GrantStmt GrantStmt nodes[objects, privileges, grantees] node[] sub[grantor: RoleSpec] subs[] plain[is_grant, targtype, objtype, grant_option, behavior] place[];
    ObjectWithArgs ObjectWithArgs nodes[objname, objargs, objfuncargs] node[] sub[] subs[] plain[args_unspecified] place[];
    AccessPriv AccessPriv nodes[cols] node[] sub[] subs[] plain[priv_name] place[];
    GrantRoleStmt GrantRoleStmt nodes[granted_roles, grantee_roles, opt] node[] sub[grantor: RoleSpec] subs[] plain[is_grant, behavior] place[];
    AlterDefaultPrivilegesStmt AlterDefaultPrivilegesStmt nodes[options] node[] sub[action: GrantStmt] subs[] plain[] place[];
    CopyStmt CopyStmt nodes[attlist, options] node[query, where_clause] sub[relation: RangeVar] subs[] plain[is_from, is_program, filename] place[];
    VariableSetStmt VariableSetStmt nodes[args] node[] sub[] subs[] plain[kind, name, jumble_args, is_local] place[location];
    VariableShowStmt VariableShowStmt nodes[] node[] sub[] subs[] plain[name] place[];
    CreateStmt CreateStmt nodes[table_elts, inh_relations, constraints, nnconstraints, options] node[] sub[relation: RangeVar, partbound: PartitionBoundSpec, partspec: PartitionSpec, of_typename: TypeName] subs[] plain[oncommit, tablespacename, access_method, if_not_exists] place[];
    Constraint Constraint nodes[keys, including, exclusions, options, fk_attrs, pk_attrs, fk_del_set_cols, old_conpfeqop] node[raw_expr, where_clause] sub[pktable: RangeVar] subs[] plain[contype, conname, deferrable, initdeferred, is_enforced, skip_validation, initially_valid, is_no_inherit, cooked_expr, generated_when, generated_kind, nulls_not_distinct, without_overlaps, indexname, indexspace, reset_default_tblspc, access_method, fk_with_period, pk_with_period, fk_matchtype, fk_upd_action, fk_del_action, old_pktable_oid] place[location];
    CreateTableSpaceStmt CreateTableSpaceStmt nodes[options] node[] sub[owner: RoleSpec] subs[] plain[tablespacename, location] place[];
    DropTableSpaceStmt DropTableSpaceStmt nodes[] node[] sub[] subs[] plain[tablespacename, missing_ok] place[];
    AlterTableSpaceOptionsStmt AlterTableSpaceOptionsStmt nodes[options] node[] sub[] subs[] plain[tablespacename, is_reset] place[];
    AlterTableMoveAllStmt AlterTableMoveAllStmt nodes[roles] node[] sub[] subs[] plain[orig_tablespacename, objtype, new_tablespacename, nowait] place[];
    CreateExtensionStmt CreateExtensionStmt nodes[options] node[] sub[] subs[] plain[extname, if_not_exists] place[];
    AlterExtensionStmt AlterExtensionStmt nodes[options] node[] sub[] subs[] plain[extname] place[];
    AlterExtensionContentsStmt AlterExtensionContentsStmt nodes[] node[object] sub[] subs[] plain[extname, action, objtype] place[];
    CreateFdwStmt CreateFdwStmt nodes[func_options, options] node[] sub[] subs[] plain[fdwname] place[];
    AlterFdwStmt AlterFdwStmt nodes[func_options, options] node[] sub[] subs[] plain[fdwname] place[];
    CreateForeignServerStmt CreateForeignServerStmt nodes[options] node[] sub[] subs[] plain[servername, servertype, version, fdwname, if_not_exists] place[];
    AlterForeignServerStmt AlterForeignServerStmt nodes[options] node[] sub[] subs[] plain[servername, version, has_version] place[];
    CreateForeignTableStmt CreateForeignTableStmt nodes[options] node[] sub[base_stmt: CreateStmt] subs[] plain[servername] place[];
    CreateUserMappingStmt CreateUserMappingStmt nodes[options] node[] sub[user: RoleSpec] subs[] plain[servername, if_not_exists] place[];
    AlterUserMappingStmt AlterUserMappingStmt nodes[options] node[] sub[user: RoleSpec] subs[] plain[servername] place[];
    DropUserMappingStmt DropUserMappingStmt nodes[] node[] sub[user: RoleSpec] subs[] plain[servername, missing_ok] place[];
    ImportForeignSchemaStmt ImportForeignSchemaStmt nodes[table_list, options] node[] sub[] subs[] plain[server_name, remote_schema, local_schema, list_type] place[];
    CreatePolicyStmt CreatePolicyStmt nodes[roles] node[qual, with_check] sub[table: RangeVar] subs[] plain[policy_name, cmd_name, permissive] place[];
    AlterPolicyStmt AlterPolicyStmt nodes[roles] node[qual, with_check] sub[table: RangeVar] subs[] plain[policy_name] place[];
    CreateAmStmt CreateAmStmt nodes[handler_name] node[] sub[] subs[] plain[amname, amtype] place[];
    CreateTrigStmt CreateTrigStmt nodes[funcname, args, columns, transition_rels] node[when_clause] sub[relation: RangeVar, constrrel: RangeVar] subs[] plain[replace, isconstraint, trigname, row, timing, events, deferrable, initdeferred] place[];
    CreateEventTrigStmt CreateEventTrigStmt nodes[whenclause, funcname] node[] sub[] subs[] plain[trigname, eventname] place[];
    AlterEventTrigStmt AlterEventTrigStmt nodes[] node[] sub[] subs[] plain[trigname, tgenabled] place[];
    CreatePlangStmt CreatePLangStmt nodes[plhandler, plinline, plvalidator] node[] sub[] subs[] plain[replace, plname, pltrusted] place[];
    CreateRoleStmt CreateRoleStmt nodes[options] node[] sub[] subs[] plain[stmt_type, role] place[];
    AlterRoleStmt AlterRoleStmt nodes[options] node[] sub[role: RoleSpec] subs[] plain[action] place[];
    AlterRoleSetStmt AlterRoleSetStmt nodes[] node[] sub[role: RoleSpec, setstmt: VariableSetStmt] subs[] plain[database] place[];
    DropRoleStmt DropRoleStmt nodes[roles] node[] sub[] subs[] plain[missing_ok] place[];
    CreateSeqStmt CreateSeqStmt nodes[options] node[] sub[sequence: RangeVar] subs[] plain[owner_id, for_identity, if_not_exists] place[];
    AlterSeqStmt AlterSeqStmt nodes[options] node[] sub[sequence: RangeVar] subs[] plain[for_identity, missing_ok] place[];
    DefineStmt DefineStmt nodes[defnames, args, definition] node[] sub[] subs[] plain[kind, oldstyle, if_not_exists, replace] place[];
    CreateDomainStmt CreateDomainStmt nodes[domainname, constraints] node[] sub[type_name: TypeName, coll_clause: CollateClause] subs[] plain[] place[];
    CreateOpClassStmt CreateOpClassStmt nodes[opclassname, opfamilyname, items] node[] sub[datatype: TypeName] subs[] plain[amname, is_default] place[];
    CreateOpClassItem CreateOpClassItem nodes[order_family, class_args] node[] sub[name: ObjectWithArgs, storedtype: TypeName] subs[] plain[itemtype, number] place[];
    CreateOpFamilyStmt CreateOpFamilyStmt nodes[opfamilyname] node[] sub[] subs[] plain[amname] place[];
    AlterOpFamilyStmt AlterOpFamilyStmt nodes[opfamilyname, items] node[] sub[] subs[] plain[amname, is_drop] place[];
    DropStmt DropStmt nodes[objects] node[] sub[] subs[] plain[remove_type, behavior, missing_ok, concurrent] place[];
    TruncateStmt TruncateStmt nodes[relations] node[] sub[] subs[] plain[restart_seqs, behavior] place[];
    CommentStmt CommentStmt nodes[] node[object] sub[] subs[] plain[objtype, comment] place[];
    SecLabelStmt SecLabelStmt nodes[] node[object] sub[] subs[] plain[objtype, provider, label] place[];
    DeclareCursorStmt DeclareCursorStmt nodes[] node[query] sub[] subs[] plain[portalname, options] place[];
    ClosePortalStmt ClosePortalStmt nodes[] node[] sub[] subs[] plain[portalname] place[];
    FetchStmt FetchStmt nodes[] node[] sub[] subs[] plain[direction, how_many, portalname, ismove] place[];
    IndexStmt IndexStmt nodes[index_params, index_including_params, options, exclude_op_names] node[where_clause] sub[relation: RangeVar] subs[] plain[idxname, access_method, table_space, idxcomment, index_oid, old_number, old_create_subid, old_first_relfilelocator_subid, unique, nulls_not_distinct, primary, isconstraint, iswithoutoverlaps, deferrable, initdeferred, transformed, concurrent, if_not_exists, reset_default_tblspc] place[];
    CreateStatsStmt CreateStatsStmt nodes[defnames, stat_types, exprs, relations] node[] sub[] subs[] plain[stxcomment, transformed, if_not_exists] place[];
    StatsElem StatsElem nodes[] node[expr] sub[] subs[] plain[name] place[];
    AlterStatsStmt AlterStatsStmt nodes[defnames] node[stxstattarget] sub[] subs[] plain[missing_ok] place[];
    CreateFunctionStmt CreateFunctionStmt nodes[funcname, parameters, options] node[sql_body] sub[return_type: TypeName] subs[] plain[is_procedure, replace] place[];
    FunctionParameter FunctionParameter nodes[] node[defexpr] sub[arg_type: TypeName] subs[] plain[name, mode] place[location];
    AlterFunctionStmt AlterFunctionStmt nodes[actions] node[] sub[func: ObjectWithArgs] subs[] plain[objtype] place[];
    DoStmt DoStmt nodes[args] node[] sub[] subs[] plain[] place[];
    CallStmt CallStmt nodes[outargs] node[] sub[funccall: FuncCall] subs[] plain[funcexpr] place[];
    RenameStmt RenameStmt nodes[] node[object] sub[relation: RangeVar] subs[] plain[rename_type, relation_type, subname, newname, behavior, missing_ok] place[];
    AlterObjectDependsStmt AlterObjectDependsStmt nodes[] node[object] sub[relation: RangeVar, extname: String] subs[] plain[object_type, remove] place[];
    AlterObjectSchemaStmt AlterObjectSchemaStmt nodes[] node[object] sub[relation: RangeVar] subs[] plain[object_type, newschema, missing_ok] place[];
    AlterOwnerStmt AlterOwnerStmt nodes[] node[object] sub[relation: RangeVar, newowner: RoleSpec] subs[] plain[object_type] place[];
    AlterOperatorStmt AlterOperatorStmt nodes[options] node[] sub[opername: ObjectWithArgs] subs[] plain[] place[];
    AlterTypeStmt AlterTypeStmt nodes[type_name, options] node[] sub[] subs[] plain[] place[];
    RuleStmt RuleStmt nodes[actions] node[where_clause] sub[relation: RangeVar] subs[] plain[rulename, event, instead, replace] place[];
    NotifyStmt NotifyStmt nodes[] node[] sub[] subs[] plain[conditionname, payload] place[payload_location];
    ListenStmt ListenStmt nodes[] node[] sub[] subs[] plain[conditionname] place[];
    UnlistenStmt UnlistenStmt nodes[] node[] sub[] subs[] plain[conditionname] place[];
    TransactionStmt TransactionStmt nodes[options] node[] sub[] subs[] plain[kind, savepoint_name, gid, chain] place[location];
    CompositeTypeStmt CompositeTypeStmt nodes[coldeflist] node[] sub[typevar: RangeVar] subs[] plain[] place[];
    CreateEnumStmt CreateEnumStmt nodes[type_name, vals] node[] sub[] subs[] plain[] place[];
    CreateRangeStmt CreateRangeStmt nodes[type_name, params] node[] sub[] subs[] plain[] place[];
    AlterEnumStmt AlterEnumStmt nodes[type_name] node[] sub[] subs[] plain[old_val, new_val, new_val_neighbor, new_val_is_after, skip_if_new_val_exists] place[];
    ViewStmt ViewStmt nodes[aliases, options] node[query] sub[view: RangeVar] subs[] plain[replace, with_check_option] place[];
    LoadStmt LoadStmt nodes[] node[] sub[] subs[] plain[filename] place[];
    CreatedbStmt CreatedbStmt nodes[options] node[] sub[] subs[] plain[dbname] place[];
    AlterDatabaseStmt AlterDatabaseStmt nodes[options] node[] sub[] subs[] plain[dbname] place[];
    AlterDatabaseRefreshCollStmt AlterDatabaseRefreshCollStmt nodes[] node[] sub[] subs[] plain[dbname] place[];
    AlterDatabaseSetStmt AlterDatabaseSetStmt nodes[] node[] sub[setstmt: VariableSetStmt] subs[] plain[dbname] place[];
    DropdbStmt DropdbStmt nodes[options] node[] sub[] subs[] plain[dbname, missing_ok] place[];
    AlterSystemStmt AlterSystemStmt nodes[] node[] sub[setstmt: VariableSetStmt] subs[] plain[] place[];
    ClusterStmt ClusterStmt nodes[params] node[] sub[relation: RangeVar] subs[] plain[indexname] place[];
    VacuumStmt VacuumStmt nodes[options, rels] node[] sub[] subs[] plain[is_vacuumcmd] place[];
    VacuumRelation VacuumRelation nodes[va_cols] node[] sub[relation: RangeVar] subs[] plain[oid] place[];
    ExplainStmt ExplainStmt nodes[options] node[query] sub[] subs[] plain[] place[];
    CreateTableAsStmt CreateTableAsStmt nodes[] node[query] sub[into: IntoClause] subs[] plain[objtype, is_select_into, if_not_exists] place[];
    RefreshMatViewStmt RefreshMatViewStmt nodes[] node[] sub[relation: RangeVar] subs[] plain[concurrent, skip_data] place[];
    CheckPointStmt CheckPointStmt nodes[] node[] sub[] subs[] plain[] place[];
    DiscardStmt DiscardStmt nodes[] node[] sub[] subs[] plain[target] place[];
    LockStmt LockStmt nodes[relations] node[] sub[] subs[] plain[mode, nowait] place[];
    ConstraintsSetStmt ConstraintsSetStmt nodes[constraints] node[] sub[] subs[] plain[deferred] place[];
    ReindexStmt ReindexStmt nodes[params] node[] sub[relation: RangeVar] subs[] plain[kind, name] place[];
    CreateConversionStmt CreateConversionStmt nodes[conversion_name, func_name] node[] sub[] subs[] plain[for_encoding_name, to_encoding_name, def] place[];
    CreateCastStmt CreateCastStmt nodes[] node[] sub[sourcetype: TypeName, targettype: TypeName, func: ObjectWithArgs] subs[] plain[context, inout] place[];
    CreateTransformStmt CreateTransformStmt nodes[] node[] sub[type_name: TypeName, fromsql: ObjectWithArgs, tosql: ObjectWithArgs] subs[] plain[replace, lang] place[];
    PrepareStmt PrepareStmt nodes[argtypes] node[query] sub[] subs[] plain[name] place[];
    ExecuteStmt ExecuteStmt nodes[params] node[] sub[] subs[] plain[name] place[];
    DeallocateStmt DeallocateStmt nodes[] node[] sub[] subs[] plain[name, isall] place[location];
    DropOwnedStmt DropOwnedStmt nodes[roles] node[] sub[] subs[] plain[behavior] place[];
    ReassignOwnedStmt ReassignOwnedStmt nodes[roles] node[] sub[newrole: RoleSpec] subs[] plain[] place[];
    AlterTsdictionaryStmt AlterTsDictionaryStmt nodes[dictname, options] node[] sub[] subs[] plain[] place[];
    AlterTsconfigurationStmt AlterTsConfigurationStmt nodes[cfgname, tokentype, dicts] node[] sub[] subs[] plain[kind, r#override, replace, missing_ok] place[];
    PublicationTable PublicationTable nodes[columns] node[where_clause] sub[relation: RangeVar] subs[] plain[] place[];
    PublicationObjSpec PublicationObjSpec nodes[] node[] sub[pubtable: PublicationTable] subs[] plain[pubobjtype, name] place[location];
    CreatePublicationStmt CreatePublicationStmt nodes[options, pubobjects] node[] sub[] subs[] plain[pubname, for_all_tables] place[];
    AlterPublicationStmt AlterPublicationStmt nodes[options, pubobjects] node[] sub[] subs[] plain[pubname, for_all_tables, action] place[];
    CreateSubscriptionStmt CreateSubscriptionStmt nodes[publication, options] node[] sub[] subs[] plain[subname, conninfo] place[conninfo_location];
    AlterSubscriptionStmt AlterSubscriptionStmt nodes[publication, options] node[] sub[] subs[] plain[kind, subname, conninfo] place[conninfo_location];
    DropSubscriptionStmt DropSubscriptionStmt nodes[] node[] sub[] subs[] plain[subname, missing_ok, behavior] place[];
}
