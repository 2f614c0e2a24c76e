DROP TABLE chain_providers;
