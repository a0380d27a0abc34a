-- catalogue: every object of one schema and everything that defines it, one row each.
-- Takes  schema.
-- Gives  kind; name; definition jsonb. Names are not qualified, oids are not shown: two databases are alike if the rows are.
with home as (
    select n.* from pg_namespace as n where n.nspname = %(schema)s
),

relations as (
    select c.* from pg_class as c join home as h on h.oid = c.relnamespace
),

extensions as (
    select d.objid, d.classid from pg_depend as d where d.deptype = 'e'
),

comments as (
    select d.classoid, d.objoid, d.objsubid, d.description from pg_description as d
)

select 'schema' as kind, h.nspname::text as name, jsonb_build_object(
    'owner', h.nspowner::regrole, 'acl', h.nspacl::text
) as definition
from home as h

union all

select 'extension', e.extname::text, jsonb_build_object('version', e.extversion, 'schema', n.nspname)
from pg_extension as e
join pg_namespace as n on n.oid = e.extnamespace

union all

select
    case c.relkind when 'v' then 'view' when 'm' then 'view' when 'S' then 'sequence' else 'table' end,
    c.relname::text,
    jsonb_build_object(
        'kind', c.relkind, 'persistence', c.relpersistence, 'owner', c.relowner::regrole, 'acl', c.relacl::text,
        'options', c.reloptions, 'row_security', array[c.relrowsecurity, c.relforcerowsecurity],
        'replica_identity', c.relreplident, 'access_method', c.relam, 'tablespace', c.reltablespace,
        'toast_options', (select t.reloptions from pg_class as t where t.oid = c.reltoastrelid),
        'view', case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
        'sequence', (
            select to_jsonb(s) - 'seqrelid' || jsonb_build_object(
                'owned_by', (
                    select format('%%s.%%s', d.refobjid::regclass, a.attname)
                    from pg_depend as d
                    join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                    where d.objid = c.oid and d.deptype in ('a', 'i') and d.refclassid = 'pg_class'::regclass
                )
            )
            from pg_sequence as s where s.seqrelid = c.oid
        ),
        'partition', c.relispartition,
        'inherits', array(select i.inhparent::regclass::text from pg_inherits as i where i.inhrelid = c.oid)
    )
from relations as c
where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')

union all

select
    'column',
    c.relname || '.' || a.attname,
    jsonb_build_object(
        'place', row_number() over (partition by a.attrelid order by a.attnum), -- dropped columns leave gaps
        'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull, 'identity', a.attidentity,
        'generated', a.attgenerated, 'collation', a.attcollation::regcollation, 'storage', a.attstorage,
        'compression', a.attcompression, 'statistics', nullif(a.attstattarget, -1), 'options', a.attoptions,
        'acl', a.attacl::text, 'default', pg_get_expr(d.adbin, d.adrelid)
    )
from relations as c
join pg_attribute as a on a.attrelid = c.oid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and a.attnum > 0 and not a.attisdropped

union all

select
    'constraint',
    format('%%s.%%s', coalesce(nullif(n.conrelid, 0)::regclass::text, n.contypid::regtype::text), n.conname),
    jsonb_build_object(
        'definition', pg_get_constraintdef(n.oid), 'validated', n.convalidated, 'deferrable', n.condeferrable,
        'deferred', n.condeferred, 'no_inherit', n.connoinherit,
        'index', nullif(n.conindid, 0)::regclass::text
    )
from pg_constraint as n
join home as h on h.oid = n.connamespace

union all

select
    'index',
    i.indexrelid::regclass::text,
    jsonb_build_object(
        'definition', pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, 'ready', i.indisready,
        'unique', i.indisunique, 'primary', i.indisprimary, 'immediate', i.indimmediate, 'clustered', i.indisclustered,
        'replica_identity', i.indisreplident, 'options', c.reloptions, 'tablespace', c.reltablespace,
        'statistics', array(
            select nullif(a.attstattarget, -1) from pg_attribute as a where a.attrelid = c.oid order by a.attnum
        )
    )
from pg_index as i
join relations as c on c.oid = i.indexrelid

union all

select
    case when p.prokind = 'a' then 'aggregate' else 'function' end,
    p.oid::regprocedure::text,
    jsonb_build_object(
        'definition', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end, 'owner', p.proowner::regrole,
        'acl', p.proacl::text, 'cost', p.procost, 'rows', p.prorows, 'volatility', p.provolatile,
        'parallel', p.proparallel, 'strict', p.proisstrict, 'leakproof', p.proleakproof,
        'security_definer', p.prosecdef, 'settings', p.proconfig, 'language', l.lanname, 'kind', p.prokind,
        'result', pg_get_function_result(p.oid), 'arguments', pg_get_function_arguments(p.oid)
    )
from pg_proc as p
join home as h on h.oid = p.pronamespace
join pg_language as l on l.oid = p.prolang
where not exists (select from extensions as e where e.classid = 'pg_proc'::regclass and e.objid = p.oid)

union all

select
    'trigger',
    format('%%s.%%s', t.tgrelid::regclass, t.tgname),
    jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled, 'depends', t.tgconstraint <> 0)
from pg_trigger as t
join relations as c on c.oid = t.tgrelid
where not t.tgisinternal

union all

select
    'type',
    t.oid::regtype::text,
    jsonb_build_object(
        'kind', t.typtype, 'owner', t.typowner::regrole, 'acl', t.typacl::text, 'base', t.typbasetype::regtype,
        'not_null', t.typnotnull, 'default', t.typdefault,
        'labels', array(select e.enumlabel from pg_enum as e where e.enumtypid = t.oid order by e.enumsortorder),
        'subtype', (select r.rngsubtype::regtype from pg_range as r where r.rngtypid = t.oid)
    )
from pg_type as t
join home as h on h.oid = t.typnamespace
where
    t.typelem = 0 -- no array
    and not exists (select from relations as c where c.oid = t.typrelid and c.relkind <> 'c')
    and not exists (select from extensions as e where e.classid = 'pg_type'::regclass and e.objid = t.oid)

union all

select
    'policy',
    format('%%s.%%s', p.polrelid::regclass, p.polname),
    to_jsonb(p) - 'oid' - 'polrelid' || jsonb_build_object(
        'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)
    )
from pg_policy as p
join relations as c on c.oid = p.polrelid

union all

select 'rule', format('%%s.%%s', r.ev_class::regclass, r.rulename), jsonb_build_object(
    'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled
)
from pg_rewrite as r
join relations as c on c.oid = r.ev_class
where c.relkind <> 'v'

union all

select 'statistics', s.stxname::text, jsonb_build_object(
    'definition', pg_get_statisticsobjdef(s.oid), 'target', to_jsonb(s) -> 'stxstattarget'
)
from pg_statistic_ext as s
join home as h on h.oid = s.stxnamespace

union all

select
    'comment',
    format('%%s %%s', o.type, o.identity),
    to_jsonb(d.description)
from comments as d
cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) as o
where
    o.schema = %(schema)s
    or (d.classoid = 'pg_class'::regclass and d.objoid in (select c.oid from relations as c))
    or (d.classoid = 'pg_trigger'::regclass and d.objoid in (
        select t.oid from pg_trigger as t join relations as c on c.oid = t.tgrelid
    ))
    or (d.classoid = 'pg_constraint'::regclass and d.objoid in (
        select n.oid from pg_constraint as n join home as h on h.oid = n.connamespace
    ))

union all

select
    'default privileges', format('%%s %%s', a.defaclrole::regrole, a.defaclobjtype), to_jsonb(a.defaclacl::text)
from pg_default_acl as a
where a.defaclnamespace in (select h.oid from home as h)

union all

select 'event trigger', e.evtname::text, to_jsonb(e) - 'oid' - 'evtfoid' from pg_event_trigger as e

union all

select 'publication', p.pubname::text, to_jsonb(p) - 'oid' from pg_publication as p

order by kind, name;
