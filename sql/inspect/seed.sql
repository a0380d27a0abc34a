-- The monitoring queries of the system before this one, word for word.     psql "$DATABASE_URL" -f sql/inspect/seed.sql
SELECT COUNT(*) FROM blog_generations WHERE status = 'PENDING';

SELECT COUNT(*) FROM blog_generations WHERE status = 'FAILED' AND created_at > NOW() - INTERVAL '1 hour';

-- Queue size over time
SELECT 
  date_trunc('minute', created_at) as time,
  COUNT(*) as pending_count
FROM blog_generations
WHERE status = 'PENDING'
GROUP BY time
ORDER BY time DESC;

-- Processing rate (blogs completed per minute)
SELECT 
  date_trunc('minute', finished_at) as time,
  COUNT(*) as completed_count
FROM blog_generations
WHERE status = 'DONE' AND finished_at IS NOT NULL
GROUP BY time
ORDER BY time DESC;

-- Error rate
SELECT 
  date_trunc('hour', created_at) as time,
  COUNT(CASE WHEN status = 'FAILED' THEN 1 END) as failed,
  COUNT(*) as total,
  ROUND(100.0 * COUNT(CASE WHEN status = 'FAILED' THEN 1 END) / COUNT(*), 2) as error_rate
FROM blog_generations
GROUP BY time
ORDER BY time DESC;
