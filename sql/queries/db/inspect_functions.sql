-- inspect_functions: which functions this role may not call, and whether titles can be compared.
-- Takes  reads boolean: it calls all functions that change nothing; functions text[]: the others that it calls; own
--        text[]: the names of all our functions.
-- Gives  one row: forbidden text[]: functions that it calls but may not execute; missing text[]: those of `functions`
--        that do not exist; compares boolean: titles can be compared (not after pg_trgm was dropped with cascade);
--        can_compare boolean: compare_titles exists, which restores that; can_secure boolean: secure_functions exists.
select
    array(
        select f.proname::text
        from pg_proc as f
        join pg_class as c on c.relnamespace = f.pronamespace and c.relowner = f.proowner
        join pg_namespace as n on n.oid = c.relnamespace
        where
            c.relname = 'blog_generations'
            and n.nspname = current_schema()
            and f.proname = any (%(own)s::text[])
            and (
                f.proname = any (%(functions)s::text[])
                or (%(reads)s::boolean and f.provolatile <> 'v' and f.prorettype <> 'trigger'::regtype)
            )
            and not has_function_privilege(f.oid, 'EXECUTE')
        order by f.proname
    ) as forbidden,
    array(
        select w.name
        from unnest(%(functions)s::text[]) as w (name)
        where not exists (
            select
            from pg_proc as f
            join pg_namespace as n on n.oid = f.pronamespace
            where n.nspname = current_schema() and f.proname = w.name
        )
    ) as missing,
    to_regprocedure('title_likeness(text, text)') is not null
    and to_regprocedure('titles_like(text, text, bigint, real)') is not null as compares,
    to_regprocedure('compare_titles()') is not null as can_compare,
    to_regprocedure('secure_functions()') is not null as can_secure;
