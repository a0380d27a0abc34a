-- grants: the statements that give one role its privileges in the first schema of the search_path and revoke all others.
-- Takes  role; reads boolean: it reads all relations, and calls the functions that change nothing; ours text[]: all our
--        tables and views; own text[]: the names of all our functions; relations, privileges, columns text[] (same order):
--        its other privileges, columns separated by spaces, '' for all; functions text[]: the other functions it calls.
-- Gives  statement of each, in the order in which they are run.
with home as (
    select n.oid, quote_ident(n.nspname) as name from pg_namespace as n where n.nspname = current_schema()
),

tables as (
    select format('%%s.%%I', h.name, c.relname) as name, c.relname
    from pg_class as c
    join home as h on h.oid = c.relnamespace
    where c.relname = any (%(ours)s::text[]) and c.relkind in ('r', 'p', 'v')
),

called as (
    select
        p.oid::regprocedure::text as name,
        p.proname = any (%(functions)s::text[])
        or (%(reads)s::boolean and p.provolatile <> 'v' and p.prorettype <> 'trigger'::regtype) as wanted
    from pg_proc as p
    join pg_class as c on c.relnamespace = p.pronamespace and c.relowner = p.proowner
    join home as h on h.oid = p.pronamespace
    where c.relname = 'blog_generations' and p.proname = any (%(own)s::text[])
),

wanted as (
    select t.name, w.privilege, nullif(w.columns, '') as columns
    from unnest(%(relations)s::text[], %(privileges)s::text[], %(columns)s::text[]) as w (relation, privilege, columns)
    join tables as t on t.relname = w.relation
)

select s.statement
from (
    select 1 as place, h.name, format('grant usage on schema %%s to %%I', h.name, %(role)s::text) as statement
    from home as h
    union all
    -- A role that may create functions in it could shadow those that ours call.
    select 1, h.name, format('revoke create on schema %%s from public', h.name)
    from home as h
    where has_schema_privilege('public', h.oid, 'CREATE')
    union all
    select 2, '', format('revoke all on %%s from %%I', string_agg(t.name, ', ' order by t.name), %(role)s::text)
    from tables as t
    union all
    select
        3, '',
        format('revoke all on function %%s from %%I', string_agg(c.name, ', ' order by c.name), %(role)s::text)
    from called as c
    union all
    select 4, '', format('grant select on %%s to %%I', string_agg(t.name, ', ' order by t.name), %(role)s::text)
    from tables as t
    where %(reads)s::boolean
    having count(*) > 0
    union all
    select
        5,
        w.name,
        format(
            'grant %%s on %%s to %%I',
            string_agg(
                lower(w.privilege collate "C") || coalesce(' (' || replace(w.columns, ' ', ', ') || ')', ''), ', '
                order by w.privilege
            ),
            w.name,
            %(role)s::text
        )
    from wanted as w
    group by w.name
    union all
    select
        6, '',
        format('grant execute on function %%s to %%I', string_agg(c.name, ', ' order by c.name), %(role)s::text)
    from called as c
    where c.wanted
    having count(*) > 0
) as s
order by s.place, s.name;
