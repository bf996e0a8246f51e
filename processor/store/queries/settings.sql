-- For one transaction: find rows through indexes, with one plan for any number of them. The statements of the pipeline are
-- planned once for each connection, often while the tables are still empty; the plan that statistics suggest then
-- reads whole tables once they are not.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true),
       set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
