<?php
// SPDX-License-Identifier: Apache-2.0
// Symfony as Debian has it. /http-cache/... goes through Symfony's own HttpCache as well.
use App\Kernel;
use Symfony\Bundle\FrameworkBundle\HttpCache\HttpCache;
use Symfony\Component\HttpFoundation\Request;

require 'Symfony/Bundle/FrameworkBundle/autoload.php';
require 'Symfony/Bundle/TwigBundle/autoload.php';
require __DIR__ . '/../src/Pages.php';
require __DIR__ . '/../src/Kernel.php';

$kernel = new Kernel('prod', false);
$request = Request::createFromGlobals();
$http = str_starts_with($request->getPathInfo(), '/http-cache/') ? new HttpCache($kernel) : $kernel;
$response = $http->handle($request);
$response->send();
$http->terminate($request, $response);
