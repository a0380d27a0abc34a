"""Webhooks: messages to other systems about ended jobs and alerts.

    a job ends, or alerts change          in the same transaction a row per endpoint is written: the outbox
      -> waiting --claim--> sent --2xx--> delivered
             ^------- backoff ------'  '-> given up after a day

A message is delivered at least once, in no guaranteed order; receivers recognise a repetition by its `webhook-id`.
`endpoints` is what an operator changes, `deliverer` the keeper that sends, `message` what is sent, `signature` how it
is signed.
"""
