"""The three providers (remote services), with one thin typed client each.

    openai      text       OpenAIClient.generate
    replicate   pictures   ReplicateClient.create, wait, download
    wix         sites      WixClient.import_media, create_draft, publish ...

Every call goes through `transport`, which applies one policy: where credentials are sent, which addresses are allowed,
and the limits for the size and the duration of a response.

A client makes one call and returns its result, or raises a ProviderError whose class says what the caller must do. It
does not retry (except a call with a refused Wix token), stores nothing, and does not know quotas. Before each of many
small calls it waits on the `pace` that its owner passed.
"""
