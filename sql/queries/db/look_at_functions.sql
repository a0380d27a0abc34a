-- look_at_functions: which functions this role may not call, and whether titles can be compared.
-- Gives  one row: forbidden text[]: functions of blog_generations' owner in its schema that the role may not execute;
--        compares boolean: dropping pg_trgm with cascade takes the comparison along; can_compare: it can be made again.
select
    array(
        select f.proname::text
        from pg_proc as f
        join pg_class as c on c.relnamespace = f.pronamespace and c.relowner = f.proowner
        join pg_namespace as n on n.oid = c.relnamespace
        where
            c.relname = 'blog_generations'
            and n.nspname = current_schema()
            and f.prorettype <> 'trigger'::regtype
            and not has_function_privilege(f.oid, 'EXECUTE')
        order by f.proname
    ) as forbidden,
    to_regprocedure('title_likeness(text, text)') is not null
    and to_regprocedure('titles_like(text, text, bigint, real)') is not null as compares,
    to_regprocedure('compare_titles()') is not null as can_compare;
